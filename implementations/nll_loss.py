"""Negative log-likelihood: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation

#: Where PyTorch 2.13 differs from the formula it documents.
DEFECTS = {
    "agreement[dtype=bfloat16|float16,device=cpu,reduction=mean|sum]": (
        "the sum over the batch is rounded to the half dtype as it grows (pytorch#85791, #61523, #55657)"
    ),
    "stability[dtype=float16,device=cpu,reduction=mean|sum]": "the float16 sum over the batch overflows beyond 65504",
    "layout[dims=2,device=cpu]": (
        "logits stored with the classes outermost raise: RuntimeError: grad_input must be contiguous (nll_loss2d)"
    ),
}


def _eager(
    input: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None, ignore_index: int, reduction: str
) -> torch.Tensor:
    return F.nll_loss(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("nll_torch", loss="nll_loss", expect=DEFECTS)
def nll_torch(
    input: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …) log-probabilities, any floating dtype.
        target: (N, d1, …) class indices, int64.
        weight: (C,) weight of each class, or None.
        ignore_index: targets of this value contribute nothing.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
    """
    return _eager(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


@implementation("nll_torch_compile", loss="nll_loss", expect=DEFECTS)
def nll_torch_compile(
    input: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …) log-probabilities, any floating dtype.
        target: (N, d1, …) class indices, int64.
        weight: (C,) weight of each class, or None.
        ignore_index: targets of this value contribute nothing.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
    """
    return _compiled()(input, target, weight=weight, ignore_index=ignore_index, reduction=reduction)


@implementation("nll_naive", loss="nll_loss")
def nll_naive(input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """Gather, negate, reduce.

    Args:
        input: (N, C, d1, …) log-probabilities, any floating dtype.
        target: (N, d1, …) class indices, int64.
        weight: (C,) weight of each class, or None.
        ignore_index: targets of this value contribute nothing.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
    """
    return _reduced(-input.gather(1, target.unsqueeze(1)).squeeze(1), reduction)


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
