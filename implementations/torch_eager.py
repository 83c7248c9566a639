"""The baseline: PyTorch's own cross-entropy, eager."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness import implementation

#: What PyTorch 2.13 gets wrong against its own documented formula, found by this harness; sources are upstream issues.
DEFECTS = {
    "agreement[dtype=bfloat16|float16,device=cpu,reduction=mean|sum]": (
        "the sum over the batch is rounded to the half dtype as it grows (pytorch#85791, #61523, #55657)"
    ),
    "agreement[dtype=bfloat16|float16,device=cpu,weight!=none]": (
        "weighted losses and the sum of weights are rounded to the half dtype at every step"
    ),
    "agreement[dtype=bfloat16|float16,device=cpu,label_smoothing>0]": (
        "smoothing multiplies and sums log-probabilities stored in the half dtype"
    ),
    "gradient[dtype=bfloat16|float16,device=cpu,label_smoothing>0]": (
        "the gradients of the target and the smoothing term are rounded to the half dtype before they are added"
    ),
    "gradient[dtype=bfloat16|float16,device=cpu,weight!=none]": (
        "weights and upstream gradient are multiplied in the half dtype, one rounding each"
    ),
    "gradient[dtype=bfloat16|float16,device=cpu,target=probability|one_hot]": (
        "probabilities and upstream gradient are multiplied in the half dtype, one rounding each"
    ),
    "gradient[dtype=float16,device=cpu,reduction=mean]": (
        "1/N is rounded to float16, subnormal from N = 16385 on, and N overflows from 65520 on"
    ),
    "gradient[dtype=float16,device=cpu,classes>=32000]": (
        "the row's sum of exponentials is stored in float16, which overflows at 65504 (pytorch#158310)"
    ),
    "stability[dtype=float16,device=cpu,reduction=mean|sum]": "the float16 sum over the batch overflows beyond 65504",
    "stability[dtype=float16,device=cpu,classes>=32000]": (
        "the row's sum of exponentials is stored in float16, which overflows at 65504 (pytorch#158310)"
    ),
    "stability[dtype=float16,device=cpu,label_smoothing>0]": (
        "the float16 sum of log-probabilities overflows beyond 65504"
    ),
    "stability[target=one_hot|probability,regime=masked|masked_target|lone|edge|edge_wrong]": (
        "a class probability of 0 on a log-probability of -inf gives NaN (0 · -inf)"
    ),
    "stability[weight=zeros,regime=masked|masked_target|lone|edge|edge_wrong]": (
        "a weight of 0 on an infinite loss gives NaN (0 · inf)"
    ),
    "ignored[region=ignored,ignored>0]": ("the gradient of an ignored row is NaN where its logits are NaN or infinite"),
    "stability[ignored>0,regime=nonfinite]": (
        "the gradient of an ignored row is NaN where its logits are NaN or all -inf"
    ),
}


@implementation("torch", loss="cross_entropy", expect=DEFECTS)
def torch_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """``F.cross_entropy``: log-softmax, then the negative log-likelihood, as two eager operators.

    Args:
        logits: (N, C) or (N, C, d1, …), any floating dtype.
        target: (N,) or (N, d1, …) class indices, int64; or class probabilities shaped like ``logits``.
        weight: (C,) weight of each class, dtype of ``logits``.
        ignore_index: index targets of this value contribute nothing.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
        label_smoothing: share of the target mass that is spread evenly over the classes, in [0, 1].
    """
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )
