"""x - a - L of each row and g → g - p Σ g, with what rounding may cost.

With E the error of a log-probability (:mod:`harness.losses.cross_entropy.budget_loss`) and R that of a probability,
relative, by either way to form it (``budget_softmax``: from the exponentials, or exp of the stored log-probability):

    value     E
    gradient  |Σ g| p R + h u p Σ |g| + 2 u p |Σ g| + u |gradient|               h the depth of the row's sum
              half an ulp of the log-probability more in R in a half dtype, under ``standard``: autograd has it stored
"""

from __future__ import annotations

import numpy as np

from harness.losses.cross_entropy.budget_loss import class_budget
from harness.losses.cross_entropy.budget_softmax import softmax_error
from harness.losses.cross_entropy.grades import EXP_ARGUMENT_ERROR, plain_float
from harness.losses.dense.along import Found, Rows, grades
from harness.losses.dense.entries import size_of
from harness.numerics.formats import Array, ulp


def formula(given: Rows) -> Found:
    """Value and gradient of k rows."""
    rows, g, u = given.rows, given.upstream, given.rules.u
    distance = rows.top[:, None] - rows.x
    p = rows.e / rows.s[:, None]
    total = g.sum(axis=1, keepdims=True)
    gradient = g - p * total
    share, whole, weight = size_of(p), size_of(total), size_of(g).sum(axis=1, keepdims=True)
    reach = plain_float(rows.reach)
    logs = np.minimum(size_of(rows.log_sum)[:, None] + size_of(distance), 1e30)

    def value(grade: str) -> Array:
        return np.maximum.reduce([class_budget(given.errors, distance, kind, u) for kind in given.kinds(grade)])

    def slope(grade: str) -> Array:
        kinds = given.kinds(grade)
        error = softmax_error(given.errors, kinds, u, reach) + EXP_ARGUMENT_ERROR * u * logs
        if grade == "standard" and given.rules.rounds:
            error = error + 2.0 * ulp(logs, given.rules.out, ulps=0.5)
        sums = (kinds[-1].depth + 2.0) * u * weight
        return share * (np.minimum(error, 1e30) * whole + sums) + u * size_of(gradient)

    return Found(
        value=-(rows.log_sum[:, None] + distance), budgets=grades(value), gradient=gradient, slopes=grades(slope)
    )
