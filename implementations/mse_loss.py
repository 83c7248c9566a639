"""Mean squared error: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation


def _eager(input: torch.Tensor, target: torch.Tensor, *, reduction: str) -> torch.Tensor:
    return F.mse_loss(input, target, reduction=reduction)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("mse_torch", loss="mse_loss")
def mse_torch(input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …), any floating dtype.
        target: shaped like ``input``.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
    """
    return _eager(input, target, reduction=reduction)


@implementation("mse_torch_compile", loss="mse_loss")
def mse_torch_compile(input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …), any floating dtype.
        target: shaped like ``input``.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
    """
    return _compiled()(input, target, reduction=reduction)


@implementation("mse_naive", loss="mse_loss")
def mse_naive(input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """The difference, squared, then reduced: three operators.

    Args:
        input: (N, C, d1, …), any floating dtype.
        target: shaped like ``input``.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
    """
    return _reduced((input - target) ** 2, reduction)


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
