"""Cold inputs: a ring of views into one slab, each with contents of its own, so that no call finds its input in cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

#: More views than this would be needed only for inputs of a few kilobytes, where a cold call is no meaningful thing.
MAX_VIEWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Inputs to go round: (logits, target) pairs, and whether they are ``cold`` or ``warm`` and why."""

    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]
    cache: str
    reason: str


def views_needed(input_bytes: int, cache_bytes: int) -> int:
    """Views so that between two reads of one, at least twice the last-level cache was read."""
    return math.ceil(2 * cache_bytes / max(1, input_bytes)) + 1


def make_ring(inputs: Any, *, cache: str, cache_bytes: int, requires_grad: bool) -> Ring:
    """The ring for ``inputs``.

    Each view holds the same rows, rolled by its index, so every call does the same work on different bytes. Strides
    are kept. Where more than 4,096 views would be needed, one is used and the ring says that it is warm.
    """
    bytes_each = inputs.logits.numel() * inputs.logits.element_size()
    count = views_needed(bytes_each, cache_bytes)
    if cache == "warm":
        return Ring(pairs=[_view(inputs, inputs.logits, inputs.target, requires_grad)], cache="warm", reason="asked for")
    if count > MAX_VIEWS:
        reason = f"cold would need {count} views of {bytes_each} bytes (at most {MAX_VIEWS})"
        return Ring(pairs=[_view(inputs, inputs.logits, inputs.target, requires_grad)], cache="warm", reason=reason)
    pairs = []
    slab = _slab(inputs.logits, count)
    for index, logits in enumerate(slab):
        logits.copy_(inputs.logits.roll(index, dims=0))
        pairs.append(_view(inputs, logits, inputs.target.roll(index, dims=0), requires_grad))
    return Ring(pairs=pairs, cache="cold", reason="")


def _slab(logits: torch.Tensor, count: int) -> list[torch.Tensor]:
    """``count`` tensors shaped and strided like ``logits`` in one allocation, each on a 512-byte boundary."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(logits.shape, logits.stride(), strict=True) if size)
    step = math.ceil(extent * logits.element_size() / 512) * 512 // logits.element_size()
    storage = torch.zeros(step * count, dtype=logits.dtype, device=logits.device)
    return [storage.as_strided(logits.shape, logits.stride(), step * index) for index in range(count)]


def _view(
    inputs: Any, logits: torch.Tensor, target: torch.Tensor, requires_grad: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    return logits.detach().requires_grad_(requires_grad), target
