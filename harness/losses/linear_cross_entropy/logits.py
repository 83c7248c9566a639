"""One chunk of rows: the true logits with what cross-entropy makes of them, and how far sound logits may be off.

A dot product of H terms is off by at most k u Σ|h||w|, where u is the roundoff of accumulation and k the number of
roundings that a term meets: H + 2 (its product, the sum, the bias). Roundings of independent draws grow as the square
root: 8 √(H + 2) there, which is 8 standard deviations of a walk of as many steps. Under ``standard`` half-precision
logits may besides be rounded once to the output dtype, and once more where the bias is added behind the product.

With |δ_j| ≤ e_j on every logit of a row, Λ = log1p(Σ p_j expm1(e_j)) bounds the error of the log-sum-exp, and so

    |δ loss| ≤ |q_t| log1p(Σ_{j≠t} p_j expm1(e_j + e_t)) + Σ_j |q_j| (e_j + Λ)        point mass, spread mass
    |δ p_j| ≤ p_j X_j       X_j = expm1(e_j + Λ)
    |δ (1 - p_t)| ≤ min(p_t X_t, Σ_{j≠t} p_j X_j)

None of these is a first-order estimate; the first and the last stay small where the target is sure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np

from harness.core.case import Case
from harness.losses.cross_entropy.grades import RowErrors, Rules, independent, plain_float, row_errors, rules_for
from harness.losses.cross_entropy.oracle import loss_of, softmax_of
from harness.losses.cross_entropy.problem import mass_of
from harness.losses.cross_entropy.truth import Piece
from harness.losses.linear_cross_entropy.cost import ORACLE_CHUNK
from harness.losses.linear_cross_entropy.problem import LinearProblem
from harness.numerics.blocks import Block, blocks
from harness.numerics.formats import Array, ulp

#: Errors of logits are cut off here: e^50 allows anything, and 0 · inf must not become NaN.
_CAP = 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearRules:
    """What the budgets of one case rest on: cross-entropy's own, and k u of each of the three products.

    ``logits`` sums over H, ``hidden`` (the gradient of hidden) over C, ``weight`` (that of weight and bias) over N.
    ``independent``: inputs are drawn independently, so that roundings are independent too.
    """

    rows: Rules
    logits: float
    hidden: float
    weight: float
    independent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows of the case that are not ignored: ``where`` (k,) are their numbers, ``logits`` (k, C) the true ones.

    ``size`` (k, C) is Σ|h||w| + |b|, float64; ``errors`` are those of the rows' sums.
    """

    where: Array
    logits: Array
    size: Array
    piece: Piece
    errors: RowErrors


@dataclass(frozen=True, slots=True, kw_only=True)
class LogitErrors:
    """What errors of the logits within their bounds do to a chunk, float64: ``loss`` (k,), ``softmax`` X (k, C)."""

    loss: Array
    softmax: Array


def linear_rules(case: Case, rounding_ulps: float) -> LinearRules:
    """The rules of ``case``."""
    rows = rules_for(case, case.batch, rounding_ulps)
    terms = {"logits": case.features + 2.0, "hidden": case.classes + 1.0, "weight": case.batch + 1.0}
    drawn = independent(case.regime)
    if drawn:
        terms = {name: min(count, 8.0 * sqrt(count)) for name, count in terms.items()}
    return LinearRules(rows=rows, independent=drawn, **{name: rows.u * count for name, count in terms.items()})


def chunks(problem: LinearProblem, rules: LinearRules) -> Iterator[Chunk]:
    """The rows that are not ignored, a chunk at a time."""
    for block in blocks(problem.rows.shape, ORACLE_CHUNK):
        kept = problem.rows.kept[block.rows]
        if kept.any():
            yield _chunk(problem, rules, block, kept)


def _chunk(problem: LinearProblem, rules: LinearRules, block: Block, kept: Array) -> Chunk:
    where = np.arange(block.start, block.stop)[kept]
    logits = problem.hidden[where] @ problem.weight.T
    size = problem.hidden_size[where] @ problem.weight_size.T
    if problem.bias is not None:
        logits += problem.bias
        size += np.abs(plain_float(problem.bias))
    rows, mass = softmax_of(logits), mass_of(problem.rows, block, kept)
    scale = problem.rows.scale[where]
    piece = Piece(
        block=block, kept=kept, rows=rows, mass=mass, scale=scale, terms=loss_of(rows, mass),
        counted=rows.sound & np.isfinite(scale),
    )  # fmt: skip
    return Chunk(where=where, logits=logits, size=size, piece=piece, errors=row_errors(rows, rules.rows))


def logit_errors(chunk: Chunk, problem: LinearProblem, rules: LinearRules, grade: str) -> LogitErrors:
    """What the logits' errors allowed under ``grade`` do to loss and softmax."""
    piece, mass = chunk.piece, chunk.piece.mass
    error = np.minimum(_bounds(chunk, problem, rules, grade), _CAP)
    share = plain_float(piece.rows.e / piece.rows.s[:, None])
    lse = np.log1p((share * np.expm1(error)).sum(axis=1))
    loss = np.zeros(len(lse))
    if mass.point is not None and mass.column is not None:
        at = (np.arange(len(lse)), mass.column)
        terms = share * np.expm1(error + error[at][:, None])
        terms[at] = 0.0
        loss += np.abs(plain_float(mass.point)) * np.log1p(terms.sum(axis=1))
    if mass.spread is not None:
        loss += (np.abs(plain_float(mass.spread)) * (error + lse[:, None])).sum(axis=1)
    return LogitErrors(loss=loss, softmax=np.expm1(np.minimum(error + lse[:, None], _CAP)))


def _bounds(chunk: Chunk, problem: LinearProblem, rules: LinearRules, grade: str) -> Array:
    """e (k, C): the largest error allowed of each logit."""
    bound = rules.logits * chunk.size
    if grade == "standard" and rules.rows.rounds:
        stored = np.abs(plain_float(chunk.logits)) + bound
        bound = bound + ulp(stored, rules.rows.out, ulps=rules.rows.rounding_ulps)
        if problem.bias is not None:
            bound += ulp(stored + np.abs(plain_float(problem.bias)), rules.rows.out, ulps=rules.rows.rounding_ulps)
    return bound
