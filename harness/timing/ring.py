"""Cold inputs: a ring of views into one slab, each with contents of its own, that no call finds in cache."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch

from harness.numerics.same import same_values

#: More views than this would be needed only for inputs of a few kilobytes, where a cold call is no meaningful thing.
MAX_VIEWS = 4096


#: Tensors of one call: (logits, target), and where there are others a mapping of them behind.
Given = tuple[Any, ...]


@lru_cache(maxsize=8)
def _apart(views: int) -> int:
    """The number nearest to the golden section of ``views`` whose multiples visit them all."""
    return min(
        (step for step in range(1, views + 1) if math.gcd(step, views) == 1), key=lambda step: abs(step - 0.618 * views)
    )


@dataclass(slots=True)
class Turn:
    """Whose turn it is on a ring. All arms of a cell share one: each call takes the view that was read longest ago.

    Neighbours in memory are far apart in time: a kernel, or a processor, that fetches beyond the end of what it was
    given would else find its next call's inputs there.

    With a place of its own an arm may follow another round the ring and find in cache what that one has just read: two
    identical arms then differed by 8 % (measured, 200×1000 float32).
    """

    at: int = 0

    def take(self, calls: int, views: int) -> list[int]:
        """Indices of the views that the next ``calls`` calls go to."""
        apart = _apart(views)
        taken = [(self.at + step * apart) % views for step in range(calls)]
        self.at = (self.at + calls * apart) % views
        return taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Inputs to go round: (logits, target[, others]) of each call, and whether they are ``cold`` or ``warm`` and why.

    ``source`` holds the inputs that they were made from; call ``i`` has their rows rolled by ``i`` (the others as they
    are). ``trained`` names those of the others that a gradient is taken of, too. ``turn`` is shared by all that go
    round.
    """

    pairs: Sequence[Given]
    cache: str
    reason: str
    source: Any
    trained: tuple[str, ...] = ()
    turn: Turn = field(default_factory=Turn)

    def requiring_grad(self, requires_grad: bool) -> Ring:
        """The same memory, whose logits (and what else is trained) ask for a gradient or do not."""
        pairs = [self._given(given, requires_grad) for given in self.pairs]
        return replace(self, pairs=pairs)

    def restore(self, index: int) -> None:
        """Give call ``index`` its own contents again, for a kernel that writes into its inputs."""
        logits, target, *others = self.pairs[index]
        with torch.no_grad():
            _roll_into(logits, self.source.logits, index)
            if target is not None:
                _roll_into(target, self.source.target, index)
            for name, tensor in others[0].items() if others else ():
                tensor.copy_(self.source.others[name])

    def intact(self, index: int) -> bool:
        """Whether call ``index`` still has its own contents (a NaN equals a NaN)."""
        logits, target, *others = self.pairs[index]
        same = _same(logits.detach(), self.source.logits, index)
        same = same and (target is None or _same(target, self.source.target, index))
        named = others[0] if others else {}
        return same and all(_same(tensor.detach(), self.source.others[name], 0) for name, tensor in named.items())

    def _given(self, given: Given, requires_grad: bool) -> Given:
        logits, target, *others = given
        leaf = logits.detach().requires_grad_(requires_grad)
        if not others:
            return leaf, target
        asked = {n: t.detach().requires_grad_(requires_grad and n in self.trained) for n, t in others[0].items()}
        return leaf, target, asked


def leaves_of(given: Given) -> Any:
    """What a gradient is taken of: the logits, or they first and then the others that require a gradient."""
    logits, _, *others = given
    more = [tensor for tensor in others[0].values() if tensor.requires_grad] if others else []
    return (logits, *more) if more else logits


def views_needed(input_bytes: int, cache_bytes: int) -> int:
    """Views so that between two reads of one, at least twice the last-level cache was read."""
    return math.ceil(2 * cache_bytes / max(1, input_bytes)) + 1


def make_ring(inputs: Any, *, cache: str, cache_bytes: int, requires_grad: bool, trained: tuple[str, ...] = ()) -> Ring:
    """The ring for ``inputs``.

    Each view holds the same rows, rolled by its index, so every call does the same work on different bytes. Strides
    are kept. Where more than 4,096 views would be needed, one is used and the ring says that it is warm. Other tensors
    are copied for each view as well, but where they alone are twice the cache, in which nothing of them stays.
    """
    own, shared = _bytes(inputs.logits), sum(map(_bytes, inputs.others.values()))
    count, reason = views_needed(own + shared, cache_bytes), ""
    if cache == "warm":
        count, reason = 1, "asked for"
    elif count > MAX_VIEWS:
        reason = f"cold would need {count} views of {own + shared} bytes (at most {MAX_VIEWS})"
        count, cache = 1, "warm"
    alone = shared >= 2 * cache_bytes
    pairs: list[Given] = []
    for index, logits in enumerate(_slab(inputs.logits, count)):
        _roll_into(logits, inputs.logits, index)
        target = None if inputs.target is None else inputs.target.roll(index, dims=0)
        others = pairs[0][2] if alone and index else {n: like_strided(t) for n, t in inputs.others.items()}
        pairs.append((logits, target, others) if others else (logits, target))
    ring = Ring(pairs=pairs, cache=cache, reason=reason, source=inputs, trained=trained)
    return ring.requiring_grad(requires_grad)


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


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
    if not source.dim() or not len(source):
        return same_values(found, source)
    shift = index % len(source)
    parts = ((found[shift:], source[: len(source) - shift]), (found[:shift], source[len(source) - shift :]))
    return all(same_values(one, other) for one, other in parts)
