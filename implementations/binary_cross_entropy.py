"""Binary cross-entropy of probabilities: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation

#: Where PyTorch 2.13 differs from the formula it documents.
DEFECTS = {
    "stability|gradient[dtype=float16,device=cpu]": (
        "p (1 - p) is formed in float16, where it is subnormal or 0, and the floor of its denominator, 1e-12, is 0"
    ),
}


def _eager(input: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None, reduction: str) -> torch.Tensor:
    return F.binary_cross_entropy(input, target, weight=weight, reduction=reduction)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("bce_torch", loss="binary_cross_entropy", expect=DEFECTS)
def bce_torch(
    input: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None = None, reduction: str = "mean"
) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …) probabilities, any floating dtype.
        target: labels in [0, 1], shaped like ``input``.
        weight: broadcast against ``input``, or None.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
    """
    return _eager(input, target, weight=weight, reduction=reduction)


@implementation("bce_torch_compile", loss="binary_cross_entropy", expect=DEFECTS)
def bce_torch_compile(
    input: torch.Tensor, target: torch.Tensor, *, weight: torch.Tensor | None = None, reduction: str = "mean"
) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …) probabilities, any floating dtype.
        target: labels in [0, 1], shaped like ``input``.
        weight: broadcast against ``input``, or None.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
    """
    return _compiled()(input, target, weight=weight, reduction=reduction)


@implementation(
    "bce_naive",
    loss="binary_cross_entropy",
    expect={
        "stability[regime!=normal]": "log(0) is -inf, and 0 · -inf is NaN",
        "*[dtype=bfloat16|float16]": "1 - p and the logs are each rounded to half precision",
        "*": "1 - p is rounded before its log is taken, so that small probabilities lose their bits",
    },
)
def bce_naive(input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """The formula without a clamp, and with log(1 - p): 0 · -inf is NaN at p = 0 and 1.

    Args:
        input: (N, C, d1, …) probabilities, any floating dtype.
        target: labels in [0, 1], shaped like ``input``.
        weight: broadcast against ``input``, or None.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
    """
    losses = -(target * torch.log(input) + (1 - target) * torch.log(1 - input))
    return _reduced(losses, reduction)


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
