"""Linear cross-entropy as most people write it: a matrix product, then PyTorch's cross-entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness import implementation


@implementation(
    "linear_torch",
    loss="linear_cross_entropy",
    expect={
        "gradient[dtype=float16,device=cpu,target=probability|one_hot,weight!=none,label_smoothing>0]": (
            "weights, probabilities and upstream gradient are multiplied in the half dtype, one rounding each"
        ),
    },
)
def linear_torch(
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
    """``F.cross_entropy(F.linear(input, linear_weight, linear_bias), target)``: all logits lie in memory at once.

    Args:
        input: (N, H) hidden states, any floating dtype.
        linear_weight: (C, H).
        target: (N,) class indices, int64; or class probabilities (N, C).
        linear_bias: (C,), added to the product.
        weight: (C,) weight of each class.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
        ignore_index: index targets of this value contribute nothing.
        label_smoothing: share of the target mass that is spread evenly over the classes, in [0, 1].
    """
    logits = F.linear(input, linear_weight, linear_bias)
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
