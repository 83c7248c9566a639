"""σ(x) = 1 / (1 + exp(-x)) and its derivative, with what rounding may cost.

With z = exp(-|x|): σ(|x|) = 1 / (1 + z), σ(-|x|) = z / (1 + z), so that neither end is a difference. z has the
relative error u (c_e + k_e |x|) (as in cross-entropy's budgets), of which σ(x) takes the share 1 - σ(x); the sum and
the quotient round once each:

    value       σ u [(1 - σ)(c_e + k_e |x|) + 3]
    derivative  σ (1 - σ) u [c_e + k_e |x| + 8]                                     grade ``tight``
                + e |1 - 2 σ| + e², e what σ may be off when it is stored           ``standard``: autograd has σ (1 - σ)
                + 2 u_h σ (1 - σ): two products of a half kernel, each stored

Under ``standard`` a derivative near x = 17 may be 0 in float32, as torch's is: σ is stored as 1.
"""

from __future__ import annotations

import numpy as np

from harness.losses.cross_entropy.grades import EXP_ARGUMENT_ERROR, EXP_ERROR, FLUSH
from harness.losses.dense.entries import Entries, Pointwise, by_grade, size_of
from harness.numerics.formats import Array, ulp


def formula(entries: Entries) -> Pointwise:
    """Value σ(x), derivative σ(x) σ(-x)."""
    rules = entries.rules
    value, other = sigmoids(entries.x)
    exponential = exp_error(entries.x)
    near, far = size_of(value), size_of(other)
    budget = rules.u * near * (far * exponential + 3.0)
    slope, tight = value * other, rules.u * near * far * (exponential + 8.0)
    stored = budget + FLUSH + ulp(near, rules.out, ulps=0.5)
    standard = tight + stored * np.abs(near - far) + stored * stored + 2.1 * rules.halves * near * far
    return Pointwise(
        value=value,
        budgets={"standard": budget},
        gradients={"logits": (slope, by_grade(tight=tight, standard=standard))},
    )


def sigmoids(x: Array) -> tuple[Array, Array]:
    """σ(x) and σ(-x) = 1 - σ(x), neither by a difference."""
    z = np.exp(-np.abs(x))
    large, small = 1 / (1 + z), z / (1 + z)
    return np.where(x >= 0, large, np.where(np.isnan(x), x, small)), np.where(
        x >= 0, small, np.where(np.isnan(x), x, large)
    )


def exp_error(x: Array) -> Array:
    """Relative error of exp(-|x|) in units of the roundoff: c_e + k_e |x|."""
    return EXP_ERROR + EXP_ARGUMENT_ERROR * np.minimum(size_of(x), 1e30)
