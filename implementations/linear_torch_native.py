"""PyTorch's own linear cross-entropy, in chunks of rows with the gradients made in the forward pass."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from harness import implementation


@implementation(
    "linear_torch_native",
    loss="linear_cross_entropy",
    targets=("index",),
    requires=("torch>=2.13",),
    expect={
        "stability[ignored=1,reduction=mean]": (
            "with options, the gradients of a mean over no rows are NaN; without, as in F.cross_entropy, they are 0"
        ),
        "sizes[batch=1,reduction=mean]": (
            "where the one row is ignored and there are options, the gradients of a mean over no rows are NaN"
        ),
        "sizes[dtype=float16]": (
            "gradients of the logits pass through float16, whose smallest numbers many classes reach"
        ),
        "relations[dtype=bfloat16|float16,reduction=none]": (
            "of losses that are not reduced, softmax, target and upstream gradient are put together in the half dtype"
        ),
    },
)
def linear_torch_native(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> torch.Tensor:
    """``F.linear_cross_entropy`` with ``nn.LinearCrossEntropyOptions()``: chunks and accumulation as torch chooses.

    ``label_smoothing`` and probability targets are not offered: torch then computes all logits at once, with a warning,
    which is `linear_torch`. Arguments are otherwise those of `linear_torch`.
    """
    return F.linear_cross_entropy(
        input, linear_weight, target, linear_bias=linear_bias, weight=weight, reduction=reduction,
        ignore_index=ignore_index, options=nn.LinearCrossEntropyOptions(),
    )  # fmt: skip
