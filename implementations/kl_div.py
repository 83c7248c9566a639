"""Kullback-Leibler divergence: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation

#: Where PyTorch 2.13 differs from the formula it documents.
DEFECTS = {
    "stability[target=one_hot|probability,regime=masked|masked_target|lone|edge|edge_wrong|wide|nonfinite]": (
        "a probability of 0 on a log-probability of -inf gives NaN (0 · -inf)"
    ),
}


def _eager(input: torch.Tensor, target: torch.Tensor, *, reduction: str, log_target: bool) -> torch.Tensor:
    return F.kl_div(input, target, reduction=reduction, log_target=log_target)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("kl_div_torch", loss="kl_div", expect=DEFECTS)
def kl_div_torch(
    input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean", log_target: bool = False
) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …) log-probabilities, any floating dtype.
        target: probabilities, or log-probabilities with ``log_target``, shaped like ``input``.
        reduction: ``none``, ``mean`` (over all entries), ``sum`` or ``batchmean`` (the sum over N).
        log_target: whether ``target`` holds logarithms.
    """
    return _eager(input, target, reduction=reduction, log_target=log_target)


@implementation("kl_div_torch_compile", loss="kl_div", expect=DEFECTS)
def kl_div_torch_compile(
    input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean", log_target: bool = False
) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …) log-probabilities, any floating dtype.
        target: probabilities, or log-probabilities with ``log_target``, shaped like ``input``.
        reduction: ``none``, ``mean`` (over all entries), ``sum`` or ``batchmean`` (the sum over N).
        log_target: whether ``target`` holds logarithms.
    """
    return _compiled()(input, target, reduction=reduction, log_target=log_target)


@implementation(
    "kl_div_naive",
    loss="kl_div",
    expect={
        "stability|options[target=one_hot]": "0 · log 0 is NaN",
        "sizes[dtype=float16]": "0 · log 0 is NaN: among thousands of classes some probabilities round to 0",
        "stability[regime=masked|masked_target|lone|edge|edge_wrong|wide|nonfinite]": "0 · -inf is NaN",
    },
)
def kl_div_naive(
    input: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean", log_target: bool = False
) -> torch.Tensor:
    """t (log t - x) as it is written: 0 · log 0 is NaN.

    Args:
        input: (N, C, d1, …) log-probabilities, any floating dtype.
        target: probabilities, or log-probabilities with ``log_target``, shaped like ``input``.
        reduction: ``none``, ``mean`` (over all entries), ``sum`` or ``batchmean`` (the sum over N).
        log_target: whether ``target`` holds logarithms.
    """
    losses = target.exp() * (target - input) if log_target else target * (target.log() - input)
    return losses.sum() / len(input) if reduction == "batchmean" else _reduced(losses, reduction)


def _reduced(losses: torch.Tensor, reduction: str) -> torch.Tensor:
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
