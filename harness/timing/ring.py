"""Cold inputs: a ring of views into one slab, each with contents of its own, that no call finds in cache."""

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
    """Inputs to go round: (logits, target) pairs, and whether they are ``cold`` or ``warm`` and why.

    ``source`` holds the inputs that the pairs were made from; pair ``i`` has their rows rolled by ``i``.
    """

    pairs: Sequence[tuple[torch.Tensor, torch.Tensor]]
    cache: str
    reason: str
    source: Any

    def requiring_grad(self, requires_grad: bool) -> Ring:
        """The same memory, whose logits ask for a gradient or do not."""
        pairs = [(logits.detach().requires_grad_(requires_grad), target) for logits, target in self.pairs]
        return Ring(pairs=pairs, cache=self.cache, reason=self.reason, source=self.source)

    def restore(self, index: int) -> None:
        """Give pair ``index`` its own contents again, for a kernel that writes into its inputs."""
        logits, target = self.pairs[index]
        with torch.no_grad():
            _roll_into(logits, self.source.logits, index)
            _roll_into(target, self.source.target, index)

    def intact(self, index: int) -> bool:
        """Whether pair ``index`` still holds its own contents (a NaN equals a NaN)."""
        logits, target = self.pairs[index]
        same_logits = _same(logits.detach(), self.source.logits, index)
        return same_logits and _same(target, self.source.target, index)


def views_needed(input_bytes: int, cache_bytes: int) -> int:
    """Views so that between two reads of one, at least twice the last-level cache was read."""
    return math.ceil(2 * cache_bytes / max(1, input_bytes)) + 1


def make_ring(inputs: Any, *, cache: str, cache_bytes: int, requires_grad: bool) -> Ring:
    """The ring for ``inputs``.

    Each view holds the same rows, rolled by its index, so every call does the same work on different bytes. Strides
    are kept. Where more than 4,096 views would be needed, one is used and the ring says that it is warm.
    """
    bytes_each = inputs.logits.numel() * inputs.logits.element_size()
    count, reason = views_needed(bytes_each, cache_bytes), ""
    if cache == "warm":
        count, reason = 1, "asked for"
    elif count > MAX_VIEWS:
        reason = f"cold would need {count} views of {bytes_each} bytes (at most {MAX_VIEWS})"
        count, cache = 1, "warm"
    pairs = []
    for index, logits in enumerate(_slab(inputs.logits, count)):
        _roll_into(logits, inputs.logits, index)
        pairs.append((logits.detach().requires_grad_(requires_grad), inputs.target.roll(index, dims=0)))
    return Ring(pairs=pairs, cache=cache, reason=reason, source=inputs)


def like_strided(logits: torch.Tensor) -> torch.Tensor:
    """A copy of ``logits`` with its strides, gaps between rows included."""
    (copy,) = _slab(logits, 1)
    copy.copy_(logits)
    return copy


def _slab(logits: torch.Tensor, count: int) -> list[torch.Tensor]:
    """``count`` tensors shaped and strided like ``logits`` in one allocation, each on a 512-byte boundary."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(logits.shape, logits.stride(), strict=True) if size)
    step = math.ceil(extent * logits.element_size() / 512) * 512 // logits.element_size()
    storage = torch.zeros(step * count, dtype=logits.dtype, device=logits.device)
    return [storage.as_strided(logits.shape, logits.stride(), step * index) for index in range(count)]


def _roll_into(into: torch.Tensor, source: torch.Tensor, index: int) -> None:
    """``into`` becomes ``source`` with its rows rolled by ``index``, with no temporary."""
    if not len(source):
        return
    shift = index % len(source)
    into[shift:].copy_(source[: len(source) - shift])
    if shift:
        into[:shift].copy_(source[len(source) - shift :])


def _same(found: torch.Tensor, source: torch.Tensor, index: int) -> bool:
    expected = source.roll(index, dims=0)
    if torch.equal(found, expected):
        return True
    return found.dtype.is_floating_point and torch.equal(found.nan_to_num(nan=1.5), expected.nan_to_num(nan=1.5))
