"""Losses that an invalid target ends, or turns bad for all calls after it."""

import os

import torch.nn.functional as F

_spoilt = []


def ends_the_process(logits, target):
    """As an out-of-bounds access may."""
    if (target >= logits.shape[1]).any():
        os._exit(7)
    return F.cross_entropy(logits, target)


def spoils_the_process(logits, target):
    """Raises as torch does, and answers wrongly from then on."""
    if (target >= logits.shape[1]).any():
        _spoilt.append(1)
    return F.cross_entropy(logits, target) * (2 if _spoilt else 1)
