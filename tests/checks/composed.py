"""A cross-entropy written out in small steps, so that a test can replace one of them by a wrong one."""

from collections.abc import Callable

import torch
import torch.nn.functional as F


def torch_loss(logits, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """torch's own."""
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def composed(
    *,
    log_probabilities: Callable = lambda x: torch.log_softmax(x, 1),
    index: Callable = lambda target: target,
    smooth: Callable = lambda logp, weight: -(logp if weight is None else logp * weight).mean(1),
    divide: Callable = lambda total, mass, kept, ignore_index: total / mass.sum(),
) -> Callable:
    """A loss of index targets (N,) with all options, computed in float32 or wider; ignored rows are masked by where."""

    def loss(logits, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        wide = logits.float() if logits.dtype.itemsize == 2 else logits
        weight = None if weight is None else weight.to(wide.dtype)
        kept = target != ignore_index
        wide = torch.where(kept[:, None], wide, torch.zeros_like(wide))
        safe = index(torch.where(kept, target.long(), 0))
        logp = log_probabilities(wide)
        mass = kept.to(wide.dtype) if weight is None else weight[safe] * kept
        losses = -logp.gather(1, safe[:, None])[:, 0] * mass
        if label_smoothing:
            losses = losses * (1 - label_smoothing) + torch.where(kept, smooth(logp, weight), 0.0) * label_smoothing
        if reduction == "none":
            return losses.to(logits.dtype)
        total = losses.sum()
        return (total if reduction == "sum" else divide(total, mass, kept, ignore_index)).to(logits.dtype)

    return loss
