"""torchtune's chunked loss: F.cross_entropy in float32 on one eighth of the rows after another.

Source: torchtune/modules/loss/ce_chunked_output_loss.py of torchtune 0.6.1. torchtune imports torchao at once.
"""

from __future__ import annotations

import torch

from harness import implementation


@implementation(
    "torchtune",
    dtypes=("float32", "bfloat16", "float16"),
    targets=("index",),
    requires=("torchtune>=0.4", "torchao"),
    expect={
        "ignored[region=ignored,ignored>0]": (
            "like torch, the gradient of an ignored row is NaN where its logits are NaN or infinite"
        ),
        "stability[ignored>0,regime=nonfinite]": (
            "like torch, the gradient of an ignored row is NaN where its logits are NaN or all -inf"
        ),
    },
)
def torchtune(logits: torch.Tensor, target: torch.Tensor, *, ignore_index: int = -100) -> torch.Tensor:
    """torchtune's CEWithChunkedOutputLoss: the mean over rows that are not ignored, in 8 chunks."""
    from torchtune.modules.loss import CEWithChunkedOutputLoss

    criterion = CEWithChunkedOutputLoss(num_output_chunks=8, ignore_index=ignore_index)
    # it takes the logits of (B, S) tokens, already in chunks along S
    chunks = list(logits.unsqueeze(0).chunk(8, dim=1))
    # the sum is float32; torch's loss has the dtype of its input
    return criterion(chunks, target.unsqueeze(0)).to(logits.dtype)
