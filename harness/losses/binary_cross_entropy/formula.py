"""-w [t max(log p, -100) + (1 - t) max(log1p(-p), -100)] and its derivatives, with what rounding may cost.

Both terms are positive, and no difference: their logs cost c_l u each (log1p(-p), not log(1 - p), which has rounded
before it begins), the products and the sum 4 u. torch's clamp at -100 is part of the documented loss; the derivative is
torch's too, w (p - t) / max(p (1 - p), 1e-12), which is finite at p = 0 and 1: p - t, 1 - p, the product, the quotient
and the weight round once each, 6 u in all. A half kernel (``standard``) stores each of these in its dtype.
"""

from __future__ import annotations

import numpy as np

from harness.losses.cross_entropy.grades import LOG_ERROR
from harness.losses.dense.entries import Entries, Pointwise, by_grade, size_of

#: torch clamps the logarithms here, and the denominator of the derivative there.
LOG_FLOOR, DENOMINATOR_FLOOR, FLOOR_ERROR = -100.0, 1e-12, 2.0**-24


def formula(entries: Entries) -> Pointwise:
    """Value and derivatives by input and target."""
    p, t = entries.x, entries.target
    assert t is not None
    w = np.ones(1, dtype=p.dtype) if entries.weight is None else entries.weight
    u, halves = entries.rules.u, entries.rules.halves
    of_one, of_zero = (np.maximum(logs, LOG_FLOOR) for logs in (np.log(p), np.log1p(-p)))
    value = -w * (t * of_one + (1 - t) * of_zero)
    size = size_of(value)
    slope = w * (p - t) / np.maximum(p * (1 - p), DENOMINATOR_FLOOR)
    steep = size_of(slope)
    # torch's floor is a float32 constant, 4e-9 below 1e-12
    steps = 6.0 * u * steep + np.where(p * (1 - p) < DENOMINATOR_FLOOR, FLOOR_ERROR, 0.0) * steep
    logs = size_of(w) * (size_of(of_one) + size_of(of_zero))
    return Pointwise(
        value=value,
        budgets=by_grade(tight=(LOG_ERROR + 4.0) * u * size, standard=((LOG_ERROR + 4.0) * u + 4.0 * halves) * size),
        gradients={
            "logits": (slope, by_grade(tight=steps, standard=steps + 6.0 * halves * steep)),
            "target": (w * (of_zero - of_one), by_grade(
                tight=(LOG_ERROR + 3.0) * u * logs, standard=((LOG_ERROR + 3.0) * u + 3.0 * halves) * logs
            )),
        },
        # torch's derivative by the target has no clamp: it is infinite where a logarithm is
        undefined={"target": (p == 0) | (p == 1) | (np.minimum(np.log(p), np.log1p(-p)) < LOG_FLOOR)},
    )  # fmt: skip
