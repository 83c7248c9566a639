"""Keeps what a few timed calls returned, drawn at random as they run, so that what was timed can be judged."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

#: Results of one arm that are held at a time take no more than this, or are one.
MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The result of one timed call (the loss, or the gradient where the pass makes one), and its place in the ring."""

    index: int
    result: Any


class Witness:
    """Draws calls evenly from all that are timed, however many there will be.

    An arm asks :meth:`wanted` before each stretch of calls which one to keep, runs them, and hands that one's result to
    :meth:`keep`: nothing but one reference is held while the clock runs, and in most stretches not even that. Which
    call it is cannot be known beforehand.
    """

    def __init__(self, seed: int, size: int = 4) -> None:
        self._random, self._size = random.Random(seed), size
        self._seen = self._place = 0
        self._drawn: list[Kept] = []

    def wanted(self, calls: int) -> int | None:
        """The step, from 0 to ``calls`` - 1, whose result is wanted of the stretch that comes; None for no step."""
        self._seen += 1
        # each stretch seen stays with the same probability (Vitter's algorithm R)
        place = self._seen - 1 if self._seen <= self._size else self._random.randrange(self._seen)
        if place >= self._size:
            return None
        self._place = place
        return self._random.randrange(calls)

    def keep(self, index: int, result: Any) -> None:
        """Take the result of the call drawn, which was made on pair ``index`` of the ring."""
        if isinstance(result, torch.Tensor):
            result = result.detach()  # not the graph, which holds the logits and more
            self._size = min(self._size, max(1, MOST_BYTES // max(1, result.nbytes)))
        del self._drawn[self._size :]
        kept = Kept(index=index, result=result)
        if self._place < min(self._size, len(self._drawn)):
            self._drawn[self._place] = kept
        elif len(self._drawn) < self._size:
            self._drawn.append(kept)

    def kept(self) -> list[Kept]:
        """The results to be judged; the witness holds none of them any longer."""
        found, self._drawn = self._drawn, []
        return found
