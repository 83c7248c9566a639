"""Plain functions of a user who never heard of the harness: one right, several wrong."""

import torch
import torch.nn.functional as F


def right(logits, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """torch's own."""
    return F.cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def drops_weights_from_mean(logits, target, *, weight=None, ignore_index=-100, reduction="mean"):
    """Divides the weighted sum by the number of rows, not by the sum of their weights."""
    losses = F.cross_entropy(logits, target, weight=weight, ignore_index=ignore_index, reduction="none")
    if reduction == "mean":
        return losses.sum() / (target != ignore_index).sum()
    return losses.sum() if reduction == "sum" else losses


class _ZeroOffTarget(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        ctx.save_for_backward(logits, target)
        return F.cross_entropy(logits, target)

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.saved_tensors
        at = target.unsqueeze(1)
        probability = torch.softmax(logits.float(), 1).gather(1, at)
        full = torch.zeros_like(logits, dtype=torch.float32).scatter(1, at, (probability - 1) / len(target))
        return (full * grad_output).to(logits.dtype), None


def zero_off_target(logits, target):
    """Right loss; the gradient is zero everywhere but at the target."""
    return _ZeroOffTarget.apply(logits, target)


def no_maximum(logits, target, *, reduction="mean"):
    """Log of the sum of exponentials without subtracting the maximum."""
    losses = logits.exp().sum(1).log() - logits.gather(1, target.unsqueeze(1)).squeeze(1)
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses


class AsModule(torch.nn.Module):
    """A module whose options go to its constructor."""

    def __init__(self, weight=None, ignore_index=-100, reduction="mean"):
        super().__init__()
        self.options = {"weight": weight, "ignore_index": ignore_index, "reduction": reduction}

    def forward(self, logits, target):
        return F.cross_entropy(logits, target, **self.options)


instance = AsModule()
