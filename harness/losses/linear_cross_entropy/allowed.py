"""The budgets of a whole case's losses as an array, for relations that compare two answers with each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from harness.core.case import Case
from harness.losses.cross_entropy.budget_loss import final_rows
from harness.losses.linear_cross_entropy.budget import loss_budgets
from harness.losses.linear_cross_entropy.logits import chunks, linear_rules
from harness.losses.linear_cross_entropy.problem import pose
from harness.numerics.formats import Array, oracle_dtype


def allowed_losses(case: Case, inputs: Any, *, rounding_ulps: float = 0.5, grade: str = "standard") -> Array:
    """The largest error allowed of each row's loss, float64 (N,), of a case with reduction none."""
    problem, rules = pose(case, inputs, oracle_dtype(case.dtype)), linear_rules(case, rounding_ulps)
    losses = np.zeros(case.batch, dtype=problem.rows.real)
    budgets = {name: np.zeros(case.batch) for name in ("relative", "tight", "standard")}
    for chunk in chunks(problem, rules):
        losses[chunk.where] = chunk.piece.terms.value
        for name, budget in loss_budgets(chunk, problem, rules).items():
            budgets[name][chunk.where] = budget
    return final_rows(losses, budgets, rules.rows)[grade]
