"""The largest errors allowed of loss and gradients: cross-entropy's own budgets, carried through the matrix products.

With D_ij the error allowed of the gradient g_ij of a logit (cross-entropy's budget at the true logits, grown by what
the logits' own errors do, and rounded once to the output dtype: a product takes its operands in that dtype), the
gradients of hidden, weight and bias are allowed, entry by entry,

    Σ_j (D_ij + k u |g_ij|) |w_jk|        Σ_i (D_ij + k u |g_ij|) |h_ik|        Σ_i (D_ij + k u |g_ij|)

and one final rounding; under ``standard`` two in half precision, for a gradient may be stored before the upstream
gradient is multiplied in. ``product_budget`` has a sharper form for independent roundings.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from harness.losses.cross_entropy.budget_gradient import GradientBudget
from harness.losses.cross_entropy.budget_loss import row_budgets
from harness.losses.cross_entropy.grades import FLUSH, plain_float
from harness.losses.linear_cross_entropy.logits import Chunk, LinearRules, LogitErrors, logit_errors
from harness.losses.linear_cross_entropy.problem import LinearProblem
from harness.numerics.formats import Array, ulp

#: Gradients have no budget of their own under ``relative``: it keeps that of ``tight``.
GRADIENT_GRADES = ("standard", "tight")


def loss_budgets(chunk: Chunk, problem: LinearProblem, rules: LinearRules) -> dict[str, Array]:
    """Each grade's allowed error of each row's loss before any final rounding, float64 (k,)."""
    budgets = row_budgets(chunk.piece, chunk.errors, problem.rows, rules.rows)
    loss = np.abs(plain_float(chunk.piece.terms.value))
    found: dict[str, Array] = {}
    for grade, budget in budgets.items():
        moved = logit_errors(chunk, problem, rules, "standard" if grade == "standard" else "tight").loss
        found[grade] = budget + moved
        if grade == "standard" and rules.rows.rounds:
            # moved by as much, a stored log-probability may be rounded in the next binade
            found[grade] += ulp(loss + found[grade], rules.rows.out, ulps=rules.rows.rounding_ulps)
    return found


def logit_gradient_budget(
    chunk: Chunk, problem: LinearProblem, rules: LinearRules, grade: str, gradient: Array
) -> Array:
    """D, float64 (k, C): the error allowed of ``gradient`` (k, C), that of the logits."""
    moved = logit_errors(chunk, problem, rules, grade)
    budget = _of_cross_entropy(chunk, problem, rules, grade, gradient)
    budget *= 1.0 + moved.softmax
    budget += _of_logits(chunk, moved)
    return budget


def product_budget(
    gradient: Array, budgets: Mapping[str, Array], matrix: Array, *, depth: float, common: Array | None = None
) -> dict[str, Array]:
    """What each grade allows of ``gradient`` · ``matrix``, with ``budgets`` D (k, C) and |matrix| given.

    The sum of the absolute values is the worst case. Where ``common`` is given the roundings to half precision that
    ``standard`` allows are independent of each other but for a factor common to a whole sum, and add up as the square
    root (8 standard deviations) to ``common``, what that factor does: without this, thousands of rows in bfloat16
    would hide a gradient of zero, since the sum itself grows as the square root.
    """
    size = depth * np.abs(plain_float(gradient))
    found = {grade: (budget + size) @ matrix for grade, budget in budgets.items()}
    if common is not None:
        spread = 8.0 * np.sqrt((budgets["standard"] ** 2) @ (matrix**2))
        found["standard"] = np.maximum(found["tight"], np.minimum(found["standard"], found["tight"] + common + spread))
    return found


def common_factor(budget: Array, gradient: Array, column: Array) -> Array:
    """The largest relative error (k,) that all entries of a row of softmax may share: the least of D ÷ |g|."""
    size = np.abs(plain_float(gradient))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(size > 0.0, budget / size, np.inf)
    share[np.arange(len(share)), column] = np.inf
    least = share.min(axis=1)
    return np.where(np.isfinite(least), least, 0.0)


def finished(budget: Array, truth: Array, scale: float, rules: LinearRules, grade: str) -> Array:
    """``budget`` of a result with what an exponential may lose to zero and the final rounding; ``scale`` is max |G|."""
    rows = rules.rows
    size = np.abs(plain_float(truth))
    total = budget + FLUSH * max(1.0, scale)
    twice = grade == "standard" and rows.rounds
    return total + ulp(size + total, rows.out, ulps=rows.rounding_ulps * (2.0 if twice else 1.0), at_least=FLUSH)


def _of_cross_entropy(chunk: Chunk, problem: LinearProblem, rules: LinearRules, grade: str, gradient: Array) -> Array:
    """Cross-entropy's budgets of the gradient of exact logits, all columns."""
    piece, mass = chunk.piece, chunk.piece.mass
    budget = GradientBudget(
        rows=piece.rows, errors=chunk.errors, mass=mass, problem=problem.rows, rules=rules.rows, scale=piece.scale
    )
    if mass.spread is not None:
        return budget.with_spread(grade, gradient)
    entries = budget.off_target(grade, gradient)
    at = (np.arange(len(gradient)), mass.column)
    entries[at] = budget.at_target(grade, gradient[at])
    return entries


def _of_logits(chunk: Chunk, moved: LogitErrors) -> Array:
    """|G| Q p X, and at an index target the smaller of its two bounds."""
    piece, mass = chunk.piece, chunk.piece.mass
    factor = np.abs(plain_float(piece.scale * mass.total))
    terms = plain_float(piece.rows.e / piece.rows.s[:, None]) * moved.softmax
    if mass.column is not None:
        at = (np.arange(len(factor)), mass.column)
        terms[at] = np.minimum(terms[at], terms.sum(axis=1) - terms[at])
    return factor[:, None] * terms
