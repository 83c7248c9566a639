"""The budgets of a whole case as arrays, for checks that compare two answers with each other and not with the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.core.case import Case
from harness.losses.cross_entropy.budget_gradient import GradientBudget
from harness.losses.cross_entropy.budget_loss import final_rows, reduced, row_budgets
from harness.losses.cross_entropy.grades import row_errors, rules_for
from harness.losses.cross_entropy.oracle import grad_logits_of
from harness.losses.cross_entropy.problem import CrossEntropyInputs, pose
from harness.losses.cross_entropy.truth import pieces, reduce_losses
from harness.numerics.formats import Array, oracle_dtype


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """Largest errors allowed: ``loss`` float64, flat, one for each loss that the case returns.

    ``row_sums`` (rows,) are the sums of the budgets of each row's gradient; None where mass is spread over classes.
    """

    loss: Array
    row_sums: Array | None


def allowed(case: Case, inputs: CrossEntropyInputs, *, rounding_ulps: float = 0.5, grade: str = "standard") -> Allowed:
    """The budgets of ``grade`` on one case; finite logits are taken for granted."""
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    rules = rules_for(case, len(problem.kept), rounding_ulps)
    losses = np.zeros(len(problem.kept), dtype=problem.real)
    by_row = {name: np.zeros(len(problem.kept)) for name in ("relative", "tight", "standard")}
    sums: Array | None = np.zeros(len(problem.kept))
    for piece in pieces(problem, inputs):
        where = np.arange(piece.block.start, piece.block.stop)[piece.kept]
        errors = row_errors(piece.rows, rules)
        losses[where] = piece.terms.value
        for name, budget in row_budgets(piece, errors, problem, rules).items():
            by_row[name][where] = budget
        if piece.mass.spread is not None or sums is None:
            sums = None
            continue
        gradient = grad_logits_of(piece.rows, piece.mass, piece.scale)
        budget = GradientBudget(
            rows=piece.rows, errors=errors, mass=piece.mass, problem=problem, rules=rules, scale=piece.scale
        )
        entries = budget.off_target("standard", gradient)
        at = (np.arange(len(gradient)), piece.mass.column)
        entries[at] = budget.at_target("standard", gradient[at])
        sums[where] = entries.sum(axis=1)
    if problem.reduction == "none":
        return Allowed(loss=final_rows(losses, by_row, rules)[grade], row_sums=sums)
    kept = losses[problem.kept]
    result = reduce_losses(problem, kept)
    of_kept = {name: budget[problem.kept] for name, budget in by_row.items()}
    return Allowed(loss=reduced(result, kept, of_kept, problem, rules)[grade].reshape(1), row_sums=sums)
