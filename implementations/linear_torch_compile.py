"""Matrix product and cross-entropy, compiled together by ``torch.compile`` for the exact shapes they meet."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation


def _linear_cross_entropy(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None,
    weight: torch.Tensor | None,
    reduction: str,
    ignore_index: int,
    label_smoothing: float,
) -> torch.Tensor:
    logits = F.linear(hidden, linear_weight, linear_bias)
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # dynamic=False: a symbolic size would time a more general kernel than asked for
    return torch.compile(_linear_cross_entropy, dynamic=False, fullgraph=True)


@implementation("linear_torch_compile", loss="linear_cross_entropy")
def linear_torch_compile(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """``torch.compile`` of `linear_torch` with static shapes; a new shape, dtype or option compiles at its first call.

    Arguments are those of `linear_torch`. Past ``torch._dynamo.config.recompile_limit`` graphs, ``fullgraph=True``
    raises: call ``torch.compiler.reset()`` between unrelated shapes.
    """
    return _compiled()(
        input, linear_weight, target, linear_bias=linear_bias, weight=weight, reduction=reduction,
        ignore_index=ignore_index, label_smoothing=label_smoothing,
    )  # fmt: skip
