"""Probability targets: losses, and gradients of logits, targets and weight, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from . import kernels
from .memory import empty_result
from .pieces import as_rows, pieces
from .targets import Options


@dataclass(frozen=True, slots=True, kw_only=True)
class SoftProblem:
    """One call with probability targets; ``rows`` and ``target_rows`` are (N, C) or (N, C, D)."""

    logits: torch.Tensor
    target: torch.Tensor
    rows: torch.Tensor
    target_rows: torch.Tensor
    weight: torch.Tensor | None
    options: Options
    dtype: torch.dtype

    def masses(self, part: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The smoothed target of a piece, and the weights shaped to broadcast over it."""
        smoothed = part.to(self.dtype)
        if self.options.label_smoothing > 0.0:
            smoothed = smoothed * self.options.keep + self.options.label_smoothing / part.shape[1]
        if self.weight is None:
            return smoothed, None
        return smoothed, self.weight.to(self.dtype).reshape(1, -1, *(1,) * (part.dim() - 2))


def losses(problem: SoftProblem) -> torch.Tensor:
    """−Σ_c w_c q_c log p_c of each row, in the dtype of the arithmetic, shaped (N,) or (N, D)."""
    rows = problem.rows
    found = torch.zeros(rows.shape[:1] + rows.shape[2:], dtype=problem.dtype)
    if rows.numel():
        for piece in pieces(rows.shape, torch.get_num_threads()):
            log_p = _log_probabilities(problem, piece.of(rows))
            smoothed, weight = problem.masses(piece.of(problem.target_rows))
            q = smoothed if weight is None else smoothed * weight
            piece.of(found).copy_(kernels.soft_losses(log_p, q))
    return found


def gradients(problem: SoftProblem, scale: torch.Tensor, wanted: tuple[bool, bool, bool]) -> list[torch.Tensor | None]:
    """Gradients of logits, target and weight, each only where wanted; ``scale`` has one entry per row, (N,) or (N, D).

    With s the scale of a row and q its smoothed target: s (Q p − w q) with Q = Σ w q; −s (1 − ε) w log p; −Σ s q log p.
    """
    rows = problem.rows
    out = [empty_result(problem.logits.shape, problem.logits.dtype) if wanted[0] else None]
    out.append(empty_result(problem.target.shape, problem.target.dtype) if wanted[1] else None)
    total = torch.zeros(rows.shape[1], dtype=torch.float64) if wanted[2] else None
    for piece in pieces(rows.shape, torch.get_num_threads()) if rows.numel() else ():
        x = piece.of(rows)
        smoothed, weight = problem.masses(piece.of(problem.target_rows))
        here = piece.of(scale)
        if out[0] is not None:
            q = smoothed if weight is None else smoothed * weight
            p = kernels.softmax(x.to(problem.dtype).contiguous(), torch.empty(x.shape, dtype=problem.dtype))
            piece.of(as_rows(out[0])).copy_(kernels.soft_gradient(p, q, here))
        if out[1] is None and total is None:
            continue
        costs = _log_probabilities(problem, x).mul_(-here.unsqueeze(1))
        if total is not None:
            shares = (costs * smoothed).masked_fill_(smoothed == 0.0, 0.0)
            total += shares.sum(tuple(d for d in range(shares.dim()) if d != 1), dtype=torch.float64)
        if out[1] is not None:
            costs = costs.mul_(problem.options.keep)
            if weight is not None:
                costs = costs.mul_(weight).masked_fill_(weight == 0.0, 0.0)
            piece.of(as_rows(out[1])).copy_(costs)
    out.append(None if total is None or problem.weight is None else total.to(problem.weight.dtype))
    return out


def _log_probabilities(problem: SoftProblem, x: torch.Tensor) -> torch.Tensor:
    return kernels.log_softmax(x.to(problem.dtype).contiguous(), torch.empty(x.shape, dtype=problem.dtype))
