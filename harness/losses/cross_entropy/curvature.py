"""The curvature of cross-entropy along a vector, and how far a sound implementation's second backward may be off it.

With p the softmax of a row, c = G Q its scale times its target mass, and v the row's part of the vector:

    (H v)_i = c p_i (v_i - m)          m = Σ p_j v_j

Both the differentiated softmax and the differentiated log-softmax form it from p (relative error R_i, see
``budget_softmax``) in at most two such products, so an entry is allowed

    2 c p_i [(|v_i| + Σ p_j |v_j|) (R_i + R_c + 8 u) + Σ p_j |v_j| (R_j + h u)] + smallest_normal(float32) + ½ ulp

where R_c is what c costs: a sum over the classes where mass is spread over them, and the sum of the weights that a mean
divides by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from harness.core.case import Case
from harness.losses.cross_entropy.budget_softmax import softmax_error
from harness.losses.cross_entropy.grades import FLUSH, Rules, plain_float, row_errors, rules_for
from harness.losses.cross_entropy.problem import CrossEntropyInputs, Problem, pose
from harness.losses.cross_entropy.truth import Piece, pieces
from harness.numerics.blocks import class_rows
from harness.numerics.formats import Array, oracle_dtype, ulp


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The entry of H v that comes nearest to its budget, or exceeds it most; ``ratio`` is error ÷ budget."""

    ratio: float
    error: float
    budget: float
    expected: float
    found: float


def judge_curvature(case: Case, inputs: CrossEntropyInputs, vector: torch.Tensor, found: torch.Tensor) -> Worst:
    """Compare ``found`` (N, C, …) with H ``vector`` of the case's loss times its upstream gradient.

    NaN anywhere in ``found`` gives an infinite ratio. The case has index targets and a dtype of at least 32 bits.
    """
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    rules = rules_for(case, len(problem.kept), 0.5)
    worst = Worst(ratio=0.0, error=0.0, budget=0.0, expected=0.0, found=0.0)
    for piece in pieces(problem, inputs):
        v, got = (class_rows(t, piece.block, problem.real)[piece.kept] for t in (vector, found))
        p = piece.rows.e / piece.rows.s[:, None]
        truth = (piece.scale * piece.mass.total)[:, None] * p * (v - (p * v).sum(axis=1, keepdims=True))
        error = softmax_error(row_errors(piece.rows, rules), rules.standard, rules.u, plain_float(piece.rows.reach))
        budget = _budget(
            piece, plain_float(p), np.abs(plain_float(v)), error, _scale_error(piece, problem, rules), rules.u
        )
        budget += FLUSH + ulp(np.abs(plain_float(truth)) + budget, rules.out, ulps=1.0)
        off = np.abs(plain_float(got - truth))
        ratio = np.where(np.isfinite(off), off / budget, np.inf)
        at = np.unravel_index(int(ratio.argmax()), ratio.shape)
        if ratio[at] >= worst.ratio:
            worst = Worst(
                ratio=float(ratio[at]), error=float(off[at]), budget=float(budget[at]), expected=float(truth[at]),
                found=float(got[at]),
            )  # fmt: skip
    return worst


def _scale_error(piece: Piece, problem: Problem, rules: Rules) -> float:
    """R_c, the relative error of c = G Q."""
    summed = 0.0 if piece.mass.spread is None else max(kind.mass_depth for kind in rules.standard)
    return rules.u * (summed + problem.sums_weights * (rules.batch_depth + 1.0))


def _budget(piece: Piece, p: Array, size: Array, error: Array, of_scale: float, u: float) -> Array:
    scale = np.abs(plain_float(piece.scale * piece.mass.total))[:, None]
    mean = (p * size).sum(axis=1, keepdims=True)
    summed = (p * size * (error + (p.shape[1] + 1.0) * u)).sum(axis=1, keepdims=True)
    return 2.0 * scale * p * ((size + mean) * (error + of_scale + 8.0 * u) + summed)
