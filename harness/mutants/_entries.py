"""What mutants and controls of the losses beside cross-entropy share: wide tensors, reductions, bent gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_TILE = 32


def wide(tensor: Tensor) -> Tensor:
    """``tensor`` in float32, or float64 where it is that."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def scaled(losses: Tensor, weight: Tensor | None) -> Tensor:
    """``losses`` times ``weight``, broadcast against them, where there is one."""
    return losses if weight is None else losses * weight.to(losses.dtype)


def reduced(losses: Tensor, reduction: str, dtype: torch.dtype) -> Tensor:
    """``losses`` (N, …) under ``reduction`` (batchmean: the sum over N), rounded once to ``dtype``."""
    if reduction == "none":
        return losses.to(dtype)
    found = losses.mean() if reduction == "mean" else losses.sum()
    return (found / len(losses) if reduction == "batchmean" else found).to(dtype)


def whole_tiles(losses: Tensor, reduction: str, dtype: torch.dtype) -> Tensor:
    """As :func:`reduced`, without the entries beyond whole tiles of 32."""
    if reduction == "none":
        return losses.to(dtype)
    kept = losses.numel() // _TILE * _TILE or losses.numel()
    total = losses.reshape(-1)[:kept].sum()
    below = {"sum": 1, "mean": losses.numel(), "batchmean": len(losses)}[reduction]
    return (total / below).to(dtype)


def nll_reduced(
    losses: Tensor, target: Tensor, *, weight: Tensor | None, ignore_index: int, reduction: str, dtype: torch.dtype
) -> Tensor:
    """Unweighted ``losses`` (N, d1, …) of class indices under weight, ignored rows and reduction."""
    kept = target != ignore_index
    share = kept.to(losses.dtype)
    if weight is not None:
        share = share * weight.to(losses.dtype)[torch.where(kept, target, 0)]
    losses = torch.where(kept, losses * share, 0.0)
    return (
        reduced(losses.sum() / share.sum(), "none", dtype) if reduction == "mean" else reduced(losses, reduction, dtype)
    )


def with_gradient(answer: Tensor, *parts: tuple[Tensor, Callable[[Tensor], Tensor]]) -> Tensor:
    """The value of ``answer``, whose gradient of each tensor is what its function makes of the gradient from above.

    First order only: a second derivative would be that of the function.
    """
    tensors, changes = zip(*parts, strict=True)
    return _Bent.apply(answer.detach(), changes, *tensors)  # type: ignore[no-any-return]


class _Bent(torch.autograd.Function):
    @staticmethod
    def forward(ctx, answer, changes, *tensors):  # type: ignore[no-untyped-def]
        ctx.changes = changes
        return answer.clone()

    @staticmethod
    def backward(ctx, grad_output):  # type: ignore[no-untyped-def]
        return None, None, *(change(grad_output) for change in ctx.changes)
