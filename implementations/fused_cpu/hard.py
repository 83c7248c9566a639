"""Index targets: losses and gradient of all rows, piece by piece."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch

from . import kernels
from .memory import empty_result
from .pieces import Piece, as_rows, pieces
from .targets import IndexTargets, Options

Scale = torch.Tensor | Fraction | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HardProblem:
    """One call with index targets; ``rows`` is the logits as (N, C) or (N, C, D)."""

    logits: torch.Tensor
    rows: torch.Tensor
    targets: IndexTargets
    weight: torch.Tensor | None
    options: Options
    dtype: torch.dtype

    @property
    def smooth(self) -> bool:
        """Whether every class takes a share of the target."""
        return self.options.label_smoothing > 0.0

    def spread(self) -> torch.Tensor:
        """Mass that smoothing puts on each class, shaped to broadcast over a piece."""
        share = self.options.label_smoothing / self.rows.shape[1]
        if self.weight is None:
            return torch.full((1,) * self.rows.dim(), share, dtype=self.dtype)
        return (self.weight.to(self.dtype) * share).reshape(1, -1, *(1,) * (self.rows.dim() - 2))


def run(problem: HardProblem, *, losses: bool, scale: Scale) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Losses shaped like the targets, and the gradient shaped like the logits, each only where asked for.

    Args:
        problem: what was called with.
        losses: whether the losses are wanted; each is weighted, and 0 where ignored.
        scale: what each row's gradient is multiplied with, one for all or shaped like the targets, its weight not
            included, or the fraction of `exact_scale`; None where no gradient is wanted.
    """
    rows, targets = problem.rows, problem.targets
    found = torch.empty(targets.index.shape, dtype=problem.dtype) if losses else None
    gradient = empty_result(problem.logits.shape, problem.logits.dtype) if scale is not None else None
    out = None if gradient is None else _output(gradient, rows)
    if rows.numel() == 0:
        return found, gradient
    buffers = _Buffers()
    for piece in pieces(rows.shape, torch.get_num_threads()):
        part = piece.of(rows)
        x = part
        if part.dtype != problem.dtype or not part.is_contiguous():
            x = buffers.like(0, part, problem.dtype).copy_(part)
        wanted = None if out is None else piece.of(out)
        in_place = wanted is not None and wanted.dtype == problem.dtype and wanted.is_contiguous()
        p = wanted if wanted is not None and in_place else buffers.like(1, part, problem.dtype)
        step = _smooth_piece if problem.smooth else _plain_piece
        here = step(problem, piece, x, p, scale, losses)
        counted = None if targets.counted is None else piece.of(targets.counted)
        # filled, not multiplied: 0 · NaN is NaN, and an ignored row has neither loss nor gradient whatever it holds
        if found is not None and here is not None:
            piece.of(found).copy_(here if counted is None else here.masked_fill(~counted, 0.0))
        if wanted is not None:
            if counted is not None:
                p.masked_fill_(~counted.unsqueeze(1), 0.0)
            if not in_place:
                wanted.copy_(p)
    return found, gradient


def _output(gradient: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    # the gradient is contiguous, so this is a view of it however the logits lie
    out = as_rows(gradient)
    assert out.shape == rows.shape
    return out


class _Buffers:
    """Two buffers of a piece's size, made when first asked for."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[int, torch.Tensor] = {}

    def like(self, which: int, part: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        kept = self._kept.get(which)
        if kept is None or kept.numel() < part.numel():
            kept = self._kept[which] = torch.empty(part.numel(), dtype=dtype)
        return kept[: part.numel()].view(part.shape)


def exact_scale(upstream: float, divisor: float, dtype: torch.dtype) -> Fraction | float:
    """``upstream`` ÷ ``divisor``; a fraction in float64, which has no wider dtype to keep what a quotient loses."""
    if dtype != torch.float64 or not (divisor and math.isfinite(upstream) and math.isfinite(divisor)):
        return upstream / (divisor or math.nan)
    return Fraction(upstream) / Fraction(divisor)


def _here(scale: Scale, piece: Piece) -> Scale:
    return piece.of(scale) if isinstance(scale, torch.Tensor) else scale


def _plain(scale: torch.Tensor | Fraction | float) -> torch.Tensor | float:
    return float(scale) if isinstance(scale, Fraction) else scale


def _plain_piece(
    problem: HardProblem, piece: Piece, x: torch.Tensor, p: torch.Tensor, scale: Scale, losses: bool
) -> torch.Tensor | None:
    """The losses of a piece; its gradient is left in ``p``."""
    index, weights = piece.of(problem.targets.index), problem.targets.row_weight
    row_weight = None if weights is None else piece.of(weights)
    kernels.softmax(x, p)
    found, behind = kernels.losses_from_probabilities(x, p, index)
    scale = _here(scale, piece)
    if scale is not None:
        if row_weight is not None and problem.weight is not None:
            scale = row_weight.double() * _plain(scale)
        elif isinstance(scale, torch.Tensor):
            scale = scale.double()
        kernels.hard_gradient(p, behind, index, scale)
    return found if row_weight is None or not losses else kernels.weighted_losses(found, row_weight)


def _smooth_piece(
    problem: HardProblem, piece: Piece, x: torch.Tensor, p: torch.Tensor, scale: Scale, losses: bool
) -> torch.Tensor | None:
    """The losses of a piece where they are wanted; its gradient is left in ``p``."""
    index, weights = piece.of(problem.targets.index), problem.targets.row_weight
    spread = problem.spread()
    hard = torch.ones(index.shape, dtype=p.dtype) if weights is None else piece.of(weights)
    hard = hard * problem.options.keep
    found = kernels.smoothed_losses(kernels.log_softmax(x, p), index, hard, spread) if losses else None
    scale = _here(scale, piece)
    if scale is not None:
        rows = torch.as_tensor(_plain(scale), dtype=p.dtype).expand(index.shape)
        kernels.smoothed_gradient(kernels.softmax(x, p), index, hard, spread, rows)
    return found
