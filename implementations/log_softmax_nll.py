"""Cross-entropy in its two textbook halves, each PyTorch's own: log-softmax, then the negative log-likelihood."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness import implementation


@implementation("log_softmax_nll", loss="cross_entropy", targets=("index",))
def log_softmax_nll(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """``F.nll_loss(F.log_softmax(logits, 1), target)``; no label smoothing and no probability targets.

    Args:
        logits: (N, C) or (N, C, d1, …), any floating dtype.
        target: (N,) or (N, d1, …) class indices, int64.
        weight: (C,) weight of each class, dtype of ``logits``.
        ignore_index: targets of this value contribute nothing.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
    """
    return F.nll_loss(F.log_softmax(logits, 1), target, weight=weight, ignore_index=ignore_index, reduction=reduction)
