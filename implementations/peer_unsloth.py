"""unsloth's Triton cross-entropy: whole rows up to 65536 classes in one block, longer ones in chunks.

Source: unsloth/kernels/cross_entropy_loss.py of 2026.10.9. Importing unsloth patches transformers and parts of torch
for the whole process, so its rivals are best timed in a run of their own.
"""

from __future__ import annotations

import torch

from harness import implementation

#: The one label that the kernel leaves out.
_IGNORED = -100


@implementation(
    "unsloth",
    devices=("cuda",),
    dtypes=("float32", "bfloat16", "float16"),
    targets=("index",),
    # until then the backward pass wrote the gradient over the logits
    requires=("unsloth>=2026.10",),
    expect={"targets": "a target outside [0, C) reads outside its row: no error, and no defined loss"},
)
def unsloth(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """unsloth's Fast_CrossEntropyLoss of (N, C) logits; its own mean is that over the labels other than -100."""
    from unsloth.kernels.cross_entropy_loss import Fast_CrossEntropyLoss

    kept = target != ignore_index
    labels = target if ignore_index == _IGNORED else torch.where(kept, target, _IGNORED)
    losses = Fast_CrossEntropyLoss.apply(logits, labels, 0, 0)
    if reduction == "mean":
        losses = losses.sum() / kept.sum()
    elif reduction == "sum":
        losses = losses.sum()
    # the kernel returns float32; torch's loss has the dtype of its input
    return losses.to(logits.dtype)
