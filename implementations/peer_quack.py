"""QuACK's CuTe kernels: cross-entropy by clusters of thread blocks, and its chunked linear form.

Source: quack/cross_entropy.py and quack/linear_cross_entropy.py of quack-kernels 0.6.5, for compute
capability 8.0 or newer.
"""

from __future__ import annotations

import torch

from harness import implementation

_REQUIRES = ("quack-kernels>=0.2",)


@implementation(
    "quack",
    devices=("cuda",),
    dtypes=("float32", "bfloat16", "float16"),
    targets=("index",),
    requires=_REQUIRES,
)
def quack(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """QuACK's cross-entropy of (N, C) logits: one read forward, one read and one write backward."""
    from quack.cross_entropy import cross_entropy

    loss = cross_entropy(logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction)
    # the kernel returns float32; torch's loss has the dtype of its input
    return loss.to(logits.dtype)


@implementation(
    "quack_linear",
    loss="linear_cross_entropy",
    devices=("cuda",),
    dtypes=("bfloat16", "float16"),
    targets=("index",),
    requires=_REQUIRES,
    expect={
        "*[reduction=none]": "chunked_linear_cross_entropy offers mean and sum, and raises ValueError for none",
        "*[batch<8]": "its matrix products want a number of rows that is a multiple of 8 (asserted)",
    },
)
def quack_linear(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> torch.Tensor:
    """QuACK's linear cross-entropy in chunks of 4096 rows, the gradient of weight added up in float32."""
    from quack.linear_cross_entropy import chunked_linear_cross_entropy

    loss = chunked_linear_cross_entropy(hidden, linear_weight, target, ignore_index=ignore_index, reduction=reduction)
    return loss.to(hidden.dtype)
