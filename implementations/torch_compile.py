"""PyTorch's own cross-entropy, compiled by ``torch.compile`` for the exact shapes it meets."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation


def _cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> torch.Tensor:
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # Wrapping compiles nothing yet. The graphs hang on _cross_entropy's code object: torch.compiler.reset() drops them
    # and the next call compiles afresh. dynamic=False: a symbolic size would time a more general kernel than asked for.
    return torch.compile(_cross_entropy, dynamic=False, fullgraph=True)


@implementation(
    "torch_compile",
    loss="cross_entropy",
    expect={
        "stability[target=one_hot|probability,regime=masked|masked_target|lone|edge|edge_wrong]": (
            "like torch, a class probability of 0 on a log-probability of -inf gives NaN (0 · -inf)"
        ),
        "stability[weight=zeros,regime=masked|masked_target|lone|edge|edge_wrong]": (
            "like torch, a weight of 0 on an infinite loss gives NaN (0 · inf)"
        ),
        "ignored[region=ignored,ignored>0]": (
            "like torch, the gradient of an ignored row is NaN where its logits are NaN or infinite"
        ),
        "stability[ignored>0,regime=nonfinite]": (
            "like torch, the gradient of an ignored row is NaN where its logits are NaN or all -inf"
        ),
        "targets[device=cpu]": (
            "an invalid target ends the process: the compiled kernel throws its error inside an OpenMP region"
        ),
        "stability|gradient[dtype=float16,reduction=mean,rows>=65520]": "like torch, N overflows float16 from 65520 on",
    },
)
def compiled_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """``torch.compile(F.cross_entropy)`` with static shapes; a new shape, dtype or option compiles at its first call.

    Arguments are those of ``F.cross_entropy``. Call ``torch.compiler.reset()`` between unrelated shapes: past
    ``torch._dynamo.config.recompile_limit`` graphs of one function, ``fullgraph=True`` raises.
    """
    return _compiled()(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
