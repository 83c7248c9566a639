"""Keeps what a few timed calls returned, drawn at random as they run, so that what was timed can be judged."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import torch

#: Larger results are let go: five of them beside the rivals' own memory could end a run that fits without.
MOST_BYTES = 1 << 28


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The result of one timed call (the loss, or the gradient where the pass makes one), and its place in the ring."""

    index: int
    result: Any


class Witness:
    """Draws calls evenly from all that are timed, however many there will be, and always has the last one.

    An arm asks :meth:`draw` before each stretch of calls which one to keep, runs them, and hands that one's result to
    :meth:`keep`: nothing but one reference is held while the clock runs. Which call it is cannot be known beforehand.
    """

    def __init__(self, seed: int, size: int = 4) -> None:
        self._random, self._size = random.Random(seed), size
        self._seen = 0
        self._drawn: list[Kept] = []
        self._last: Kept | None = None

    def draw(self, calls: int) -> int:
        """The step, from 0 to ``calls`` - 1, whose result is wanted of the stretch that comes."""
        return self._random.randrange(calls)

    def keep(self, index: int, result: Any) -> None:
        """Take the result of the call drawn (if it is not too large), which was made on pair ``index`` of the ring."""
        if isinstance(result, torch.Tensor):
            if result.nbytes > MOST_BYTES:
                return
            result = result.detach()  # not the graph, which holds the logits and more
        self._last = Kept(index=index, result=result)
        self._seen += 1
        # each stretch seen stays with the same probability (Vitter's algorithm R)
        if len(self._drawn) < self._size:
            self._drawn.append(self._last)
        elif (place := self._random.randrange(self._seen)) < self._size:
            self._drawn[place] = self._last

    def kept(self) -> list[Kept]:
        """The results to be judged, the last stretch's among them; the witness holds none of them any longer."""
        found = list(self._drawn)
        if self._last is not None and all(one is not self._last for one in found):
            found.append(self._last)
        self._drawn, self._last = [], None
        return found
