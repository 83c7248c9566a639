"""The relative error R_i allowed of a softmax p_i, the larger of the two ways to form it.

    div    u [(1 + k_e) d_i + c_e] + th + u             e_i / s
    logp   expm1(E_i) + c_e u                           exp of a log-probability with error E_i (see budget_loss)

These are passes over whole matrices of classes, so that each saved one is noticed: what is skipped below is what cannot
change the result.
"""

from __future__ import annotations

import numpy as np

from harness.losses.cross_entropy.grades import EXP_ARGUMENT_ERROR, EXP_ERROR, Kind, RowErrors
from harness.numerics.formats import Array, ulp

#: E is capped here: with |lse| near 1e30 the order lse allows anything, and 0 · inf must not become NaN.
_CAP = 50.0


def softmax_error(
    errors: RowErrors, kinds: tuple[Kind, ...], u: float, reach: Array, *, factor: float = 1.0, offset: float = 0.0
) -> Array:
    """factor · R_i + offset, float64 (k, C), where x - a = ``reach``; R_i is the largest over ``kinds``."""
    exponent: Array | None = None
    for kind in _needed(errors, kinds, u, reach):
        one = _log_probability_error(errors, kind, u, reach)
        exponent = one if exponent is None else np.maximum(exponent, one, out=exponent)
    assert exponent is not None
    if exponent.size and not exponent.max() <= _CAP:
        np.minimum(exponent, _CAP, out=exponent)
    error = _expm1(exponent, u)
    last = errors.of[kinds[-1]]
    at_top = np.minimum(last.relative, 1.0) + (EXP_ERROR + 1.0) * u
    # logp - div never falls as d grows: expm1 is convex and its slope at least u (1 + k_e). Where logp leads at d = 0,
    # it leads everywhere.
    leads = np.expm1(np.minimum(last.log * (1.0 + u) + u * errors.log_sum, _CAP)) + EXP_ERROR * u >= at_top
    if not leads.all():
        error += EXP_ERROR * u
        np.maximum(error, at_top[:, None] - (1.0 + EXP_ARGUMENT_ERROR) * u * reach, out=error)
        error -= EXP_ERROR * u
    if factor != 1.0:
        error *= factor
    error += factor * EXP_ERROR * u + offset
    return error


def _expm1(values: Array, u: float) -> Array:
    """expm1, in place. exp is twice as quick; what it loses to cancellation, 2^-53, is nothing beside float32's u."""
    if u < 2.0**-24:
        return np.expm1(values, out=values)
    np.exp(values, out=values)
    values -= 1.0
    return values


def _needed(errors: RowErrors, kinds: tuple[Kind, ...], u: float, reach: Array) -> tuple[Kind, ...]:
    """``kinds`` without those whose error another of them exceeds at every entry of these rows."""
    if len(kinds) == 1 or reach.size == 0:
        return kinds
    if kinds[-1].stored is not None:
        plain, last = errors.of[kinds[0]].log, errors.of[kinds[-1]].log
        return kinds[-1:] if (last >= plain + u * errors.lse).all() else kinds
    shifted, lse = kinds
    return (lse,) if -reach.min() <= errors.lse.min() else (shifted, lse)


def _log_probability_error(errors: RowErrors, kind: Kind, u: float, reach: Array) -> Array:
    base = errors.of[kind].log * (1.0 + u) + u * errors.log_sum
    if kind.order == "lse":
        error = reach * -u
        error += (base + u * (1.0 + u) * errors.lse)[:, None]
    else:
        error = reach * (-u * (2.0 + u))
        error += base[:, None]
    if kind.stored is not None:
        stored = error - reach
        stored += errors.log_sum[:, None]
        error += ulp(stored, kind.stored, ulps=0.5)
    return error
