"""The largest error allowed of a loss, per row and reduced, under every grade.

For one class i of a row, l_i = L + d_i (minus its log-probability), with the errors th and E_L of the row's sum:

    E_i = (E_L + u d_i)(1 + u) + u l_i            shifted        (order lse: u Λ in place of u d_i, Λ of RowErrors)
    E_i + ½ ulp_stored(l_i + E_i)                 where log-probabilities are stored in the output dtype
    E_i = (th1 s1 / (1 + s1) + c_l u L + u d_i)(1 + u) + [d_i > 0] u l_i        grade ``relative``, with
          th1 = u [(1 + k_e) D1 + c_e + h]      (s1 may lose half the smallest subnormal number per class besides)

A row with masses q_i is allowed Σ |q_i| E_i + h u Σ |q_i| l_i (over spread mass; under ``standard`` over all of it, as
the target's term may be in one sum with the others) + 4 u |loss|; a reduction the sum of its rows' and h_N u Σ |loss|,
(h_N + 1) u Σ |loss| more where a mean divides by summed weights; and the result one rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from harness.losses.cross_entropy.grades import (
    EXP_ARGUMENT_ERROR,
    EXP_ERROR,
    LOG_ERROR,
    Kind,
    RowErrors,
    Rules,
    plain_float,
)
from harness.losses.cross_entropy.oracle import LossTerms, Softmax
from harness.losses.cross_entropy.problem import Mass, Problem, times
from harness.losses.cross_entropy.truth import Piece
from harness.numerics.formats import Array, ulp


def row_budgets(piece: Piece, errors: RowErrors, problem: Problem, rules: Rules) -> dict[str, Array]:
    """Each grade's allowed error of each row's loss before any final rounding, float64 (k,)."""
    rows, mass, terms = piece.rows, piece.mass, piece.terms
    with np.errstate(invalid="ignore", over="ignore"):
        shared = _class_sum(errors, terms, problem, rules)
        # an unreduced plain loss is a stored log-probability itself: its one rounding is the final one
        stores = rules.reduction != "none" or not problem.plain
        relative = _relative(rows, mass, terms, rules) + shared(rules.tight)
        tight = np.maximum(relative, _of_kind(errors, mass, terms, rules.u, rules.tight) + shared(rules.tight))
        standard = tight
        for kind in rules.standard:
            one = _of_kind(errors, mass, terms, rules.u, kind, stores=stores)
            standard = np.maximum(standard, one + shared(kind))
        return {"relative": relative, "tight": tight, "standard": standard}


def final_rows(truth: Array, budgets: Mapping[str, Array], rules: Rules) -> dict[str, Array]:
    """``budgets`` of unreduced losses with the final rounding to the output dtype.

    ``relative`` counts one even where output and accumulation have the same dtype: the log's own.
    """
    size = np.abs(plain_float(truth))
    ulps = rules.rounding_ulps
    result = {"relative": budgets["relative"] + ulp(size, rules.out, ulps=ulps)}
    for grade, stricter in (("tight", "relative"), ("standard", "tight")):
        error = budgets[grade]
        if rules.rounds:
            error = error + ulp(size + error, rules.out, ulps=ulps)
        result[grade] = np.maximum(error, result[stricter])
    return result


def reduced(
    truth: Array, losses: Array, budgets: Mapping[str, Array], problem: Problem, rules: Rules
) -> dict[str, Array]:
    """Each grade's allowed error of the mean or sum ``truth`` of the row ``losses`` (counted rows only), shape ()."""
    size = abs(float(problem.denominator))
    is_mean = problem.reduction == "mean"
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        total = float(np.abs(plain_float(losses)).sum())
        depth = rules.batch_depth + is_mean + problem.sums_weights * (rules.batch_depth + 1.0)
        result: dict[str, Array] = {}
        for grade, budget in budgets.items():
            error = np.divide(float(budget.sum()) + depth * rules.u * total, size)
            if rules.rounds or is_mean:
                error = error + ulp(np.abs(plain_float(truth)) + error, rules.out, ulps=rules.rounding_ulps)
            result[grade] = np.asarray(error)
        return result


def class_budget(errors: RowErrors, distance: Array, kind: Kind, u: float) -> Array:
    """E_i of every class, float64 (k, C), given d (k, C): the error of each log-probability under ``kind``."""
    d, log_sum = plain_float(distance), errors.log_sum[:, None]
    order = u * d if kind.order == "shifted" else u * errors.lse[:, None]
    budget = (errors.of[kind].log[:, None] + order) * (1.0 + u) + u * (log_sum + d)
    if kind.stored is not None:
        budget += ulp(log_sum + d + budget, kind.stored, ulps=0.5)
    return budget


def _of_kind(errors: RowErrors, mass: Mass, terms: LossTerms, u: float, kind: Kind, *, stores: bool = False) -> Array:
    return _point(errors, mass, terms, u, kind, stores=stores) + _spread(errors, mass, terms, u, kind)


def _point(errors: RowErrors, mass: Mass, terms: LossTerms, u: float, kind: Kind, *, stores: bool) -> Array:
    if mass.point is None or terms.point_distance is None:
        return np.zeros(len(errors.log_sum))
    d, log_sum = plain_float(terms.point_distance), errors.log_sum
    order = u * d if kind.order == "shifted" else u * errors.lse
    budget = (errors.of[kind].log + order) * (1.0 + u) + u * (log_sum + d)
    if kind.stored is not None and stores:
        budget = budget + ulp(log_sum + d + budget, kind.stored, ulps=0.5)
    return times(np.abs(plain_float(mass.point)), budget)


def _spread(errors: RowErrors, mass: Mass, terms: LossTerms, u: float, kind: Kind) -> Array:
    if mass.spread is None or terms.distance is None:
        return np.zeros(len(errors.log_sum))
    if kind.stored is not None:
        budget = class_budget(errors, terms.distance, kind, u)
        return times(np.abs(plain_float(mass.spread)), budget).sum(axis=1)
    q, qd, log_sum = plain_float(terms.spread_mass), plain_float(terms.spread_distance), errors.log_sum
    order = u * qd if kind.order == "shifted" else u * errors.lse * q
    return (errors.of[kind].log * q + order) * (1.0 + u) + u * (log_sum * q + qd)


def _relative(rows: Softmax, mass: Mass, terms: LossTerms, rules: Rules) -> Array:
    u, log_sum, s1 = rules.u, plain_float(rows.log_sum), plain_float(rows.s1)
    spread1 = (1.0 + EXP_ARGUMENT_ERROR) * plain_float(rows.spread1)
    th1 = u * (spread1 + EXP_ERROR + rules.tight.depth)
    # exponentials below the least normal number have fewer bits: seen at gap 90, where s1 is a sum of subnormals
    lost = 0.5 * rows.x.shape[1] * float(ulp(np.zeros(()), rules.out.accumulation))
    base = (th1 * s1 + lost) / (1.0 + s1) + LOG_ERROR * u * log_sum
    budget = np.zeros(len(log_sum))
    if mass.point is not None and terms.point_distance is not None:
        d = plain_float(terms.point_distance)
        budget = times(
            np.abs(plain_float(mass.point)), (base + u * d) * (1.0 + u) + u * np.where(d > 0, log_sum + d, 0.0)
        )
    if terms.spread_mass is not None and terms.spread_distance is not None and terms.off_top is not None:
        q, qd, off = (plain_float(v) for v in (terms.spread_mass, terms.spread_distance, terms.off_top))
        budget = budget + (base * q + u * qd) * (1.0 + u) + u * (log_sum * off + qd)
    return budget


def _class_sum(errors: RowErrors, terms: LossTerms, problem: Problem, rules: Rules) -> Callable[[Kind], Array | float]:
    """What a sum over classes and the products with masses cost, per kind."""
    if problem.plain:
        return lambda kind: 0.0
    fixed = 4.0 * rules.u * np.abs(plain_float(terms.value))
    if terms.spread_mass is None or terms.spread_distance is None:
        return lambda kind: fixed
    spread = errors.log_sum * plain_float(terms.spread_mass) + plain_float(terms.spread_distance)
    # the target's own term may be in the same sum: a product with a matrix of target mass, 16 rows of 65,600 classes by
    # MKL, is 2,700 u of the whole loss off, where 8 √65600 is 2,049 and smoothing's part a tenth
    every = np.maximum(spread, np.abs(plain_float(terms.value)))
    return lambda kind: fixed + rules.u * (kind.depth * spread if kind is rules.tight else kind.mass_depth * every)
