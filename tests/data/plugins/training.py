"""Losses to train with that go wrong in ways of their own."""

import os

import torch
import torch.nn.functional as F

CALLS = []


def ends_the_process(logits, target):
    if len(CALLS) == 3:
        os._exit(5)
    CALLS.append(1)
    return F.cross_entropy(logits, target)


def raises_later(logits, target):
    if len(CALLS) == 3:
        raise RuntimeError("no more")
    CALLS.append(1)
    return F.cross_entropy(logits, target)


def not_reduced(logits, target):
    return F.cross_entropy(logits, target, reduction="none")


def slightly_large(logits, target):
    """Right in value; its gradient is a tenth of a thousandth too large."""
    loss = F.cross_entropy(logits, target)
    return loss.detach() + 1.0001 * (loss - loss.detach())


def half_the_rows(logits, target):
    return torch.logsumexp(logits, 1).sub(logits.gather(1, target[:, None]).squeeze(1))[::2].mean()
