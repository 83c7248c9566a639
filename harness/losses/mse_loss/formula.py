"""(x - t)² and its derivatives, with what rounding may cost.

The difference is rounded once and squared: (1 + u)² (1 + u) - 1 < 3.1 u relative, and there is nothing to cancel once
it is formed; x² - 2 x t + t² cancels, and is no sound implementation. A half kernel (``standard``) stores the
difference, u_h relative, which the square doubles.
"""

from __future__ import annotations

import numpy as np

from harness.losses.dense.entries import Entries, Pointwise, by_grade, size_of


def formula(entries: Entries) -> Pointwise:
    """Value (x - t)², derivative 2 (x - t) by the input and the negative of it by the target."""
    assert entries.target is not None
    u, halves = entries.rules.u, entries.rules.halves
    difference = entries.x - entries.target
    value, size = difference * difference, size_of(difference)
    squared = size * size
    budgets = by_grade(tight=3.1 * u * squared, standard=(3.1 * u + 2.1 * halves) * squared)
    slope = by_grade(tight=4.0 * u * size, standard=(4.0 * u + 4.0 * halves) * size)
    # the largest number of the format in which differences are kept: an inf is right where one exceeds it
    largest = entries.rules.out.largest
    return Pointwise(
        value=value, budgets=budgets,
        gradients={"logits": (2 * difference, slope), "target": (-2 * difference, slope)},
        overflows=np.maximum(2.0 * size, squared) > largest,
    )  # fmt: skip
