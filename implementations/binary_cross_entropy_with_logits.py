"""Binary cross-entropy of logits: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation

#: Where PyTorch 2.13 differs from the formula it documents.
DEFECTS = {
    "stability[regime=masked|masked_target|lone|nonfinite]": (
        "(1 - t) x - log_sigmoid(x) is inf - inf, or 0 · inf, where x is infinite"
    ),
}


def _eager(
    input: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    reduction: str,
    pos_weight: torch.Tensor | None,
) -> torch.Tensor:
    return F.binary_cross_entropy_with_logits(input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("bce_logits_torch", loss="binary_cross_entropy_with_logits", expect=DEFECTS)
def bce_logits_torch(
    input: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    reduction: str = "mean",
    pos_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …) logits, any floating dtype.
        target: labels in [0, 1], shaped like ``input``.
        weight: broadcast against ``input``, or None.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
        pos_weight: weight of the positive part, broadcast against ``input``, or None.
    """
    return _eager(input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


@implementation("bce_logits_torch_compile", loss="binary_cross_entropy_with_logits", expect=DEFECTS)
def bce_logits_torch_compile(
    input: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    reduction: str = "mean",
    pos_weight: torch.Tensor | None = None,
) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …) logits, any floating dtype.
        target: labels in [0, 1], shaped like ``input``.
        weight: broadcast against ``input``, or None.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
        pos_weight: weight of the positive part, broadcast against ``input``, or None.
    """
    return _compiled()(input, target, weight=weight, reduction=reduction, pos_weight=pos_weight)


@implementation(
    "bce_logits_naive",
    loss="binary_cross_entropy_with_logits",
    expect={
        "stability|gradient": "the log of a probability that was rounded to 0 is -inf, and 0 · -inf is NaN",
        "agreement": "1 - p is rounded before its log is taken",
        "*[dtype=bfloat16|float16]": "the probability is rounded to half precision first",
    },
)
def bce_logits_naive(input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """The logistic function, then its logs: a probability rounded to 0 or 1 makes the loss infinite.

    Args:
        input: (N, C, d1, …) logits, any floating dtype.
        target: labels in [0, 1], shaped like ``input``.
        weight: broadcast against ``input``, or None.
        reduction: ``none``, ``mean`` (over all entries) or ``sum``.
        pos_weight: weight of the positive part, broadcast against ``input``, or None.
    """
    p = torch.sigmoid(input)
    losses = -(target * torch.log(p) + (1 - target) * torch.log(1 - p))
    return _reduced(losses, reduction)


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
