"""NVIDIA apex's xentropy: a CUDA kernel with one block a row, label smoothing built in.

Source: apex/contrib/xentropy/softmax_xentropy.py. The package of this name on PyPI is another one, so the requirement
names the repository; build it with --xentropy.
"""

from __future__ import annotations

import torch

from harness import implementation


@implementation(
    "apex",
    devices=("cuda",),
    dtypes=("float32", "bfloat16", "float16"),
    targets=("index",),
    requires=("apex @ git+https://github.com/NVIDIA/apex.git",),
)
def apex(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """apex's SoftmaxCrossEntropyLoss of (N, C) logits; rows of ``ignore_index`` are left out here, around it.

    The kernel reads the logit at every label before padding_idx is looked at, so a label of -100 would read outside
    the row: such rows are given class 0, and their loss is masked, which gives them a gradient of 0 too.
    """
    from apex.contrib.xentropy import SoftmaxCrossEntropyLoss

    kept = target != ignore_index
    labels = torch.where(kept, target, 0)
    # -1 is no label, so that padding_idx (0 by default) masks no class
    losses = SoftmaxCrossEntropyLoss.apply(logits.contiguous(), labels, label_smoothing, -1, False)
    losses = losses.masked_fill(~kept, 0.0)
    if reduction == "none":
        return losses
    total = losses.sum()
    return total if reduction == "sum" else total / kept.sum()
