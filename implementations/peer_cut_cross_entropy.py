"""Apple's Cut Cross-Entropy: logits never reach memory; the backward pass makes them again, tile by tile.

Source: cut_cross_entropy/linear_cross_entropy.py, cce.py and utils.py of cut-cross-entropy 25.1.1. Its tiles do not run
on Triton's interpreter (an InterpreterError in its spin locks, triton 3.9).
"""

from __future__ import annotations

import torch

from harness import implementation

_REQUIRES = ("cut-cross-entropy>=25.1",)
# cce_backward.py asserts these two
_DTYPES = ("bfloat16", "float16")
_IN_HALF = "gradients are added up tile by tile in the tensors' own half-precision dtype (cce_backward.py)"


@implementation(
    "cce",
    loss="linear_cross_entropy",
    devices=("cuda",),
    dtypes=_DTYPES,
    targets=("index",),
    requires=_REQUIRES,
    expect={
        "gradient": "tiles whose softmax lies below the dtype's eps / 32 are skipped in the backward pass (filter_eps)",
        "repeatability": "tiles are added under spin locks, in the order in which they finish",
    },
)
def cce(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> torch.Tensor:
    """Cut cross-entropy as its package offers it: gradients below a threshold are left out (filter_eps="high")."""
    return _cut(hidden, linear_weight, target, ignore_index, reduction, "high")


@implementation(
    "cce_exact",
    loss="linear_cross_entropy",
    devices=("cuda",),
    dtypes=_DTYPES,
    targets=("index",),
    requires=_REQUIRES,
    expect={
        "gradient[classes>=4096]": _IN_HALF,
        "repeatability": "tiles are added under spin locks, in the order in which they finish",
    },
)
def cce_exact(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    reduction: str = "mean",
    ignore_index: int = -100,
) -> torch.Tensor:
    """Cut cross-entropy with every tile of the gradient (filter_eps=None)."""
    return _cut(hidden, linear_weight, target, ignore_index, reduction, None)


def _cut(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    ignore_index: int,
    reduction: str,
    filter_eps: str | None,
) -> torch.Tensor:
    from cut_cross_entropy import linear_cross_entropy

    loss = linear_cross_entropy(
        hidden, linear_weight, target, ignore_index=ignore_index, reduction=reduction, filter_eps=filter_eps, impl="cce"
    )
    # the kernels return float32; torch's loss has the dtype of its input
    return loss.to(hidden.dtype)
