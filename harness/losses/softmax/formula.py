"""y = exp(x - a) / s of each row and g → y (g - Σ g y), with what rounding may cost.

With R the relative error of a softmax's entry (:mod:`harness.losses.cross_entropy.budget_softmax`), e = y R and, under
``standard``, half an ulp of y more, as autograd has the stored result only:

    value     y (R + u)
    gradient  e |g - Σ g y| + y [Σ |g| e + (h + 3) u Σ |g| y + 3 u |g|]         h the depth of the row's sum
"""

from __future__ import annotations

from harness.losses.cross_entropy.budget_softmax import softmax_error
from harness.losses.cross_entropy.grades import FLUSH, plain_float
from harness.losses.dense.along import Found, Rows, grades
from harness.losses.dense.entries import size_of
from harness.numerics.formats import Array, ulp


def formula(given: Rows) -> Found:
    """Value and gradient of k rows."""
    rows, g, u = given.rows, given.upstream, given.rules.u
    y = rows.e / rows.s[:, None]
    centre = (g * y).sum(axis=1, keepdims=True)
    share, weight, off = size_of(y), size_of(g), size_of(g - centre)
    reach = plain_float(rows.reach)

    def value(grade: str) -> Array:
        return share * (softmax_error(given.errors, given.kinds(grade), u, reach) + u)

    def slope(grade: str) -> Array:
        kinds = given.kinds(grade)
        error = share * softmax_error(given.errors, kinds, u, reach)
        if grade == "standard":
            error = error + FLUSH + ulp(share + error, given.rules.out, ulps=0.5)
        sums = (weight * error).sum(axis=1, keepdims=True)
        sums = sums + (kinds[-1].depth + 3.0) * u * (weight * share).sum(axis=1, keepdims=True)
        return error * off + share * (sums + 3.0 * u * weight)

    return Found(value=y, budgets=grades(value), gradient=y * (g - centre), slopes=grades(slope))
