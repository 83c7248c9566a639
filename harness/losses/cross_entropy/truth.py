"""The true answer of a whole case: a reduction of the rows' losses, and gradients assembled block by block."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from harness.losses.cross_entropy.oracle import (
    LossTerms,
    Softmax,
    grad_logits_of,
    grad_target_of,
    loss_of,
    softmax_of,
)
from harness.losses.cross_entropy.problem import CrossEntropyInputs, Mass, Problem, mass_of, times
from harness.numerics.blocks import Block, blocks, class_rows
from harness.numerics.formats import FORMATS, Array, Format, round_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One block of rows that are not ignored: ``kept`` (rows of the block) tells which, the rest has one row for each.

    ``counted`` (rows kept,) tells those with a finite gradient: the row is sound and its scale is finite.
    """

    block: Block
    kept: Array
    rows: Softmax
    mass: Mass
    scale: Array
    terms: LossTerms
    counted: Array

    def take(self, rows: Array) -> Piece:
        """The piece with softmax, mass and scale of the rows where ``rows`` is True (and the loss of all)."""
        return replace(self, rows=self.rows.take(rows), mass=self.mass.take(rows), scale=self.scale[rows])

    def overflows(self, out: Format) -> Array:
        """Whether a log-probability of a class with mass exceeds ``out``, or their sum its accumulation, (k,)."""
        found = np.zeros(len(self.rows.log_sum), dtype=bool)
        if self.mass.point is not None and self.terms.point_distance is not None:
            found = (self.mass.point != 0.0) & (self.rows.log_sum + self.terms.point_distance > out.largest)
        if self.mass.spread is not None and self.terms.distance is not None:
            logs = times(np.abs(self.mass.spread) > 0.0, self.rows.log_sum[:, None] + self.terms.distance)
            found = found | (logs.max(axis=1) > out.largest) | (logs.sum(axis=1) > out.accumulation.largest / 2)
        return found

    def far(self, largest: float, factor: Array | float) -> Array:
        """The classes (rows kept, C) whose log-probability times ``factor`` exceeds ``largest``; needs spread mass."""
        assert self.terms.distance is not None
        return (self.rows.log_sum[:, None] + self.terms.distance) * np.maximum(factor, 1.0) > largest


def pieces(problem: Problem, inputs: CrossEntropyInputs) -> Iterator[Piece]:
    """Yield each block of the case with its softmax, mass and loss."""
    for block in blocks(problem.shape):
        piece = piece_of(problem, inputs, block)
        if piece is not None:
            yield piece


def piece_of(problem: Problem, inputs: CrossEntropyInputs, block: Block) -> Piece | None:
    """One block; ignored rows are left out before any arithmetic. None where all its rows are ignored."""
    kept = problem.kept[block.rows]
    if not kept.any():
        return None
    x = class_rows(inputs.logits, block, problem.real)
    x = x if kept.all() else x[kept]
    rows, mass = softmax_of(x), mass_of(problem, block, kept)
    scale = problem.scale[block.rows][kept]
    return Piece(
        block=block, kept=kept, rows=rows, mass=mass, scale=scale, terms=loss_of(rows, mass),
        counted=rows.sound & np.isfinite(scale),
    )  # fmt: skip


def reduce_losses(problem: Problem, losses: Array) -> Array:
    """The mean or sum, shape (), of the (rows,) losses; ignored rows hold 0. The mean of nothing is NaN."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.asarray(losses.sum(dtype=problem.real) / problem.denominator)


def weight_terms(problem: Problem, piece: Piece) -> Array:
    """G m (lse - x), (k, C): the rows' parts of the gradient of weight, m = (1 - ε) y + ε / C."""
    assert piece.mass.inner is not None
    assert piece.terms.distance is not None
    # the same form as the gradient of the target, with m in place of the weight
    return grad_target_of(piece.rows, piece.terms.distance, piece.scale, piece.mass.inner, 0.0)


def true_answer(
    problem: Problem, inputs: CrossEntropyInputs, dtype: str
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Loss and gradients of the case, rounded once to ``dtype``; gradients of target and weight with probabilities."""
    losses = np.zeros(len(problem.kept), dtype=problem.real)
    probability = problem.index is None
    by_name = {"logits": torch.zeros(problem.shape, dtype=getattr(torch, dtype))}
    if probability:
        by_name["target"] = torch.zeros_like(by_name["logits"])
    by_weight = np.zeros(problem.classes, dtype=problem.real)
    for piece in pieces(problem, inputs):
        losses[piece.block.rows][piece.kept] = piece.terms.value
        with np.errstate(invalid="ignore", over="ignore"):
            gradient = grad_logits_of(piece.rows, piece.mass, piece.scale)
            gradient[~piece.counted] = np.nan
            _write(by_name["logits"], problem, piece, gradient, dtype)
            if probability:
                assert piece.terms.distance is not None
                target = grad_target_of(
                    piece.rows, piece.terms.distance, piece.scale, problem.weight, problem.smoothing
                )
                target[~piece.rows.sound] = np.nan
                _write(by_name["target"], problem, piece, target, dtype)
                terms = weight_terms(problem, piece)
                terms[~piece.rows.sound] = np.nan
                by_weight += terms.sum(axis=0)
    if probability and problem.weight is not None:
        by_name["weight"] = _to_torch(by_weight, dtype)
    if problem.reduction == "none":
        return _to_torch(losses, dtype).reshape(problem.shape[0], *problem.shape[2:]), by_name
    return _to_torch(reduce_losses(problem, losses), dtype), by_name


def _write(tensor: torch.Tensor, problem: Problem, piece: Piece, values: Array, dtype: str) -> None:
    full = np.zeros((len(piece.kept), problem.classes), dtype=values.dtype)
    full[piece.kept] = values
    block = piece.block
    if tensor.ndim == 2:
        tensor[block.batch] = _to_torch(full, dtype)
        return
    part = tensor[block.batch, :, block.first].movedim(1, -1)
    part.copy_(_to_torch(full, dtype).reshape(part.shape))


def _to_torch(values: Array, dtype: str) -> torch.Tensor:
    return torch.from_numpy(round_to(values, FORMATS[dtype])).to(getattr(torch, dtype))
