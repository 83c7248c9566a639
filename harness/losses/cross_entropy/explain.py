"""The budget of one entry, term by term: what each source of rounding contributes to the largest error allowed.

The terms add up to the budget that a verdict names. Where a term enters through exp or log (the error of a row's sum)
its share is in proportion to what went in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.core.case import Case
from harness.losses.cross_entropy.budget_gradient import GradientBudget
from harness.losses.cross_entropy.budget_loss import final_rows, reduced, row_budgets
from harness.losses.cross_entropy.grades import (
    EXP_ARGUMENT_ERROR,
    EXP_ERROR,
    FLUSH,
    LOG_ERROR,
    Kind,
    RowErrors,
    Rules,
    plain_float,
    row_errors,
    rules_for,
)
from harness.losses.cross_entropy.oracle import grad_logits_of
from harness.losses.cross_entropy.problem import CrossEntropyInputs, Problem, pose
from harness.losses.cross_entropy.truth import Piece, pieces, reduce_losses
from harness.numerics.evaluation import GRADES
from harness.numerics.formats import oracle_dtype, ulp
from harness.numerics.tally import SLACK

Terms = dict[str, float]

SPREAD = "argument of exp, over the row's spread"
EXP = "each exponential"
DEPTH = "depth of the sum over classes"
STORED = "intermediates stored in the output dtype"
LOG = "log of the sum"
ORDER = "adding the maximum back"
JOIN = "adding the log of the sum to the distance from the maximum"
MASS = "products with weights, smoothing or probabilities"
LOG1P = "log1p form"
REDUCE = "sum over the rows"
FINAL = "final rounding"
SUBTRACT = "probability less target"
UPSTREAM = "upstream gradient and denominator"
FLUSHED = "exponentials flushed to zero"
TIE = "an exact tie"
RESIDUE = "residue of the whole row, which autograd leaves here"


def explain(
    case: Case, inputs: CrossEntropyInputs, *, value: str, region: str, index: Sequence[int], grade: str,
    rounding_ulps: float = 0.5, budget: float | None = None,
) -> Terms:  # fmt: skip
    """The terms of the budget of one entry under ``grade``, largest first; they add up to it.

    Args:
        case: the options of the call.
        inputs: its tensors.
        value: ``loss`` or ``grad_logits``.
        region: that of the entry, as a verdict names it.
        index: of the entry in the value; empty for a scalar.
        grade: the grade that was required.
        rounding_ulps: what the final rounding may cost.
        budget: what the verdict allowed, if known; what the terms leave open of it is told as a residue.

    Raises:
        ValueError: the entry has no budget: it is ignored, or of another value.
    """
    if value not in ("loss", "grad_logits") or region == "ignored":
        raise ValueError(f"{value}[{region}] is judged exactly: its budget is 0")
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    rules = rules_for(case, len(problem.kept), rounding_ulps)
    with np.errstate(invalid="ignore", over="ignore", under="ignore", divide="ignore"):
        if value == "grad_logits":
            terms = _of_gradient(problem, rules, inputs, index, grade)
        else:
            terms = _of_loss(problem, rules, inputs, index, grade)
    terms[TIE] = sum(terms.values()) * (SLACK - 1.0)
    left = 0.0 if budget is None else budget - sum(terms.values())
    if budget is not None and left > 1e-4 * budget:
        terms[RESIDUE] = left
    return dict(sorted(((name, size) for name, size in terms.items() if size), key=lambda item: -item[1]))


def _of_loss(
    problem: Problem, rules: Rules, inputs: CrossEntropyInputs, index: Sequence[int], grade: str
) -> Terms:  # fmt: skip
    wanted = None if problem.reduction != "none" else _row(problem, index, with_class=False)
    losses = np.zeros(len(problem.kept), dtype=problem.real)
    budgets = {name: np.zeros(len(problem.kept)) for name in GRADES}
    total: Terms = {}
    for piece in pieces(problem, inputs):
        where = np.arange(piece.block.start, piece.block.stop)[piece.kept]
        errors = row_errors(piece.rows, rules)
        losses[where] = piece.terms.value
        made = row_budgets(piece, errors, problem, rules)
        for name, each in made.items():
            budgets[name][where] = each
        allowed = made[grade]
        for at in range(len(where)) if wanted is None else np.flatnonzero(where == wanted):
            for name, size in _shares(_row_terms(piece, errors, problem, rules, grade, int(at)), allowed[at]).items():
                total[name] = total.get(name, 0.0) + size
    if wanted is not None:
        _refuse_ignored(problem, wanted)
        one = slice(wanted, wanted + 1)
        final = final_rows(losses[one], {name: each[one] for name, each in budgets.items()}, rules)
        return {**total, FINAL: float(final[grade][0]) - float(budgets[grade][wanted])}
    kept = problem.kept
    truth = reduce_losses(problem, losses[kept])
    whole = float(reduced(truth, losses[kept], {grade: budgets[grade][kept]}, problem, rules)[grade])
    size = abs(float(problem.denominator))
    terms = {name: each / size for name, each in total.items()}
    depth = rules.batch_depth + (rules.reduction == "mean") + problem.sums_weights * (rules.batch_depth + 1.0)
    terms[REDUCE] = depth * rules.u * float(np.abs(plain_float(losses[kept])).sum()) / size
    return {**terms, FINAL: whole - sum(terms.values())}


def _row_terms(piece: Piece, errors: RowErrors, problem: Problem, rules: Rules, grade: str, at: int) -> Terms:
    """The terms of one row's loss before any final rounding, under the class of implementation that is allowed most."""
    kinds = (rules.tight, *rules.standard) if grade == "standard" else (rules.tight,)
    if grade == "relative":
        return {LOG1P: 1.0}
    stores = rules.reduction != "none" or not problem.plain
    found = [_kind_terms(piece, errors, problem, rules, kind, stores, at) for kind in kinds]
    largest = max(found, key=lambda terms: sum(terms.values()))
    allowed = float(row_budgets(piece, errors, problem, rules)[grade][at])
    # the log1p form alone may be allowed more, where all that is left of the loss is subnormal
    return largest if sum(largest.values()) >= 0.99 * allowed else {LOG1P: 1.0}


def _kind_terms(
    piece: Piece, errors: RowErrors, problem: Problem, rules: Rules, kind: Kind, stores: bool, at: int
) -> Terms:  # fmt: skip
    u, log_sum = rules.u, float(errors.log_sum[at])
    mass, distance = _mass_and_distance(piece, at)
    order = u * distance if kind.order == "shifted" else u * float(errors.lse[at]) * mass
    terms = {name: size * mass for name, size in _log_sum_terms(piece, errors, rules, kind, at).items()}
    terms[ORDER] = order
    terms[JOIN] = u * (log_sum * mass + distance)
    if kind.stored is not None and stores:
        size = abs(float(piece.terms.value[at]))
        terms[STORED] = terms.get(STORED, 0.0) + float(ulp(np.array(size), kind.stored, ulps=0.5))
    if not problem.plain:
        terms[MASS] = 4.0 * u * abs(float(piece.terms.value[at]))
        if piece.terms.spread_mass is not None and piece.terms.spread_distance is not None:
            spread = log_sum * float(piece.terms.spread_mass[at]) + float(piece.terms.spread_distance[at])
            terms[MASS] += kind.depth * u * spread
    return terms


def _mass_and_distance(piece: Piece, at: int) -> tuple[float, float]:
    """Σ|q| and Σ|q| d of one row."""
    mass = distance = 0.0
    if piece.mass.point is not None and piece.terms.point_distance is not None:
        mass = abs(float(piece.mass.point[at]))
        distance = mass * float(piece.terms.point_distance[at]) if mass else 0.0
    if piece.terms.spread_mass is not None and piece.terms.spread_distance is not None:
        mass += float(piece.terms.spread_mass[at])
        distance += float(piece.terms.spread_distance[at])
    return mass, distance


def _log_sum_terms(piece: Piece, errors: RowErrors, rules: Rules, kind: Kind, at: int) -> Terms:
    """E_L of one row: the error of its sum through the log, and the log's own."""
    u = rules.u
    inside = {
        SPREAD: u * (1.0 + EXP_ARGUMENT_ERROR) * float(piece.rows.spread[at]),
        EXP: u * EXP_ERROR * (1.0 - float(1.0 / piece.rows.s[at])),
        DEPTH: u * kind.depth,
    }
    whole, log = float(errors.of[kind].log[at]), LOG_ERROR * u * float(errors.log_sum[at])
    stored = 0.0
    if kind.stored is not None:
        inside[STORED] = kind.stored.u
        stored = float(ulp(errors.log_sum[at : at + 1], kind.stored, ulps=0.5)[0])
    terms = {**_shares(inside, max(whole - log - stored, 0.0)), LOG: log}
    terms[STORED] = terms.get(STORED, 0.0) + stored
    return terms


def _of_gradient(
    problem: Problem, rules: Rules, inputs: CrossEntropyInputs, index: Sequence[int], grade: str
) -> Terms:  # fmt: skip
    wanted, column = _row(problem, index, with_class=True), int(index[1])
    _refuse_ignored(problem, wanted)
    for piece in pieces(problem, inputs):
        where = np.arange(piece.block.start, piece.block.stop)[piece.kept]
        found = np.flatnonzero(where == wanted)
        if found.size:
            return _entry_terms(piece, problem, rules, int(found[0]), column, grade)
    raise ValueError(f"there is no row {wanted}")


def _entry_terms(piece: Piece, problem: Problem, rules: Rules, at: int, column: int, grade: str) -> Terms:
    one = np.arange(len(piece.scale)) == at
    errors = row_errors(piece.rows, rules)
    row = piece.take(one)
    gradient = grad_logits_of(row.rows, row.mass, row.scale)
    budget = GradientBudget(
        rows=row.rows, errors=errors.take(one), mass=row.mass, problem=problem, rules=rules, scale=row.scale
    )
    spread = row.mass.spread is not None
    if spread:
        whole = float(budget.with_spread(_by(grade), gradient)[0, column])
    elif row.mass.column is not None and int(row.mass.column[0]) == column:
        whole = float(budget.at_target(_by(grade), gradient[:, column])[0])
    else:
        whole = float(budget.off_target(_by(grade), gradient)[0, column])
    size, scale = abs(float(gradient[0, column])), abs(float(row.scale[0]))
    flushed = FLUSH * max(1.0, scale)
    final = _final_of(whole, size, rules)
    share = scale * float(row.mass.total[0]) * float(row.rows.e[0, column] / row.rows.s[0])
    u, kind = rules.u, (rules.standard[-1] if _by(grade) == "standard" else rules.tight)
    inside = {name: each * share for name, each in _log_sum_terms(piece, errors, rules, kind, at).items()}
    inside[ORDER] = u * share * (float(errors.lse[at]) if kind.order == "lse" else -float(row.rows.reach[0, column]))
    inside[EXP] = inside.get(EXP, 0.0) + u * share * (EXP_ERROR - EXP_ARGUMENT_ERROR * float(row.rows.reach[0, column]))
    own = scale * float(row.mass.total[0])
    inside[SUBTRACT] = u * (share + own) * ((kind.mass_depth + 3.0) if spread else 1.0) if size != share else u * share
    sums = (rules.batch_depth + 1.0) * u if problem.sums_weights else 0.0
    inside[UPSTREAM] = (u + sums + (rules.out.u if rules.rounds and problem.reduction == "mean" else 0.0)) * size
    return {**_shares(inside, max(whole - flushed - final, 0.0)), FLUSHED: flushed, FINAL: final}


def _final_of(whole: float, size: float, rules: Rules) -> float:
    """The part of a finished budget that is its final rounding: half an ulp of |g| plus all the rest."""
    before = np.array(whole)
    for _ in range(4):
        before = whole - ulp(size + before, rules.out, ulps=rules.rounding_ulps)
    return float(whole - before)


def _by(grade: str) -> str:
    """The grade of a gradient: ``relative`` keeps that of ``tight``."""
    return "standard" if grade == "standard" else "tight"


def _shares(parts: Mapping[str, float], whole: float) -> Terms:
    """``whole`` in proportion to ``parts``."""
    total = sum(parts.values())
    return {name: float(whole) * size / total for name, size in parts.items()} if total > 0 else {}


def _row(problem: Problem, index: Sequence[int], *, with_class: bool) -> int:
    """The flat row of an index into the loss, or into the gradient (whose second entry is the class)."""
    shape = (problem.shape[0], *problem.shape[2:])
    where = (index[0], *index[2:]) if with_class else tuple(index)
    if len(where) != len(shape):
        raise ValueError(f"index {tuple(index)} does not fit logits of shape {problem.shape}")
    return int(np.ravel_multi_index(where, shape))


def _refuse_ignored(problem: Problem, row: int) -> None:
    if not problem.kept[row]:
        raise ValueError(f"row {row} is ignored: its budget is 0")
