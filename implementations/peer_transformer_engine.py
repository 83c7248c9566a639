"""TransformerEngine's Triton cross-entropy, in float32 throughout.

Source: transformer_engine/pytorch/cross_entropy.py and transformer_engine/pytorch/triton/cross_entropy.py of 2.20.
"""

from __future__ import annotations

import torch

from harness import implementation


@implementation(
    "transformer_engine",
    devices=("cuda",),
    # _validate_inputs refuses the others
    dtypes=("float32", "bfloat16"),
    targets=("index",),
    requires=("transformer-engine[pytorch]>=2.2", "transformer-engine-torch"),
    expect={
        "agreement|stability|options|ignored[ignored=1,reduction=mean]": (
            "the count of rows is clamped to at least 1: the mean of no rows is 0, where torch gives NaN"
        ),
        "targets": "a target outside [0, C) gives a loss of +inf instead of an error",
    },
)
def transformer_engine(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """TransformerEngine's parallel_cross_entropy on one device; it takes (B, S, C), so N rows are one batch of N."""
    from transformer_engine.pytorch.cross_entropy import parallel_cross_entropy

    loss = parallel_cross_entropy(
        logits.unsqueeze(0), target.unsqueeze(0), label_smoothing, reduction == "mean", None, ignore_index
    )
    if reduction == "mean":
        return loss.reshape(()).to(logits.dtype)
    losses = loss.squeeze(0)
    # the kernel returns float32; torch's loss has the dtype of its input
    return (losses.sum() if reduction == "sum" else losses).to(logits.dtype)
