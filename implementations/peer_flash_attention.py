"""flash-attention's Triton cross-entropy: one program a row forward, one a tile of 4096 columns backward.

Source: flash_attn/losses/cross_entropy.py and flash_attn/ops/triton/cross_entropy.py.
"""

from __future__ import annotations

import torch

from harness import implementation


@implementation(
    "flash_attention",
    devices=("cuda",),
    dtypes=("float32", "bfloat16", "float16"),
    targets=("index",),
    requires=("flash-attn>=2.5",),
    expect={
        "stability[regime=nonfinite,ignored>0]": "an ignored row's gradient is 0 · softmax: NaN where its logits are",
        "ignored[region=ignored]": "an ignored row's gradient is 0 · softmax: NaN where its logits are",
        "targets": "a target outside [0, C) gives a loss of 0 instead of an error",
    },
)
def flash_attention(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """flash-attention's CrossEntropyLoss of (N, C) logits, its backward pass not in place (its default)."""
    from flash_attn.losses.cross_entropy import CrossEntropyLoss

    criterion = CrossEntropyLoss(ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing)
    # the kernel returns float32; torch's loss has the dtype of its input
    return criterion(logits, target).to(logits.dtype)
