"""The largest batch that fits: from the estimate of the loss family, checked by trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

#: A trial costs a whole call; so many of them close the gap between an estimate and the truth to a few per cent.
_TRIALS = 8
_CLOSE = 1.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """``batch`` rows fitted (0: not even one); ``estimated`` rows were promised; ``trials`` were made."""

    batch: int
    estimated: int
    trials: int


def estimated_batch(memory: Callable[[int], int], limit_bytes: int, most: int = 1 << 32) -> int:
    """Largest batch with ``memory(batch)`` ≤ ``limit_bytes``; 0 where one row is too much already.

    ``memory`` must not fall as the batch grows.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if memory(middle) <= limit_bytes:
            low = middle
        else:
            high = middle - 1
    return low


def largest_batch(memory: Callable[[int], int], limit_bytes: int, fits: Callable[[int], bool]) -> Fit:
    """The largest batch for which ``fits`` was seen to hold, to within 5 %.

    Args:
        memory: bytes estimated for a batch.
        limit_bytes: bytes that are free.
        fits: tries a batch; an out-of-memory is False and must cost nothing but the trial.

    Estimates are cautious, so from the estimate on the batch is doubled while it fits, and halved where it does not;
    then the gap is cut in halves.
    """
    estimated = estimated_batch(memory, limit_bytes)
    batch, low, high, trials = max(1, estimated), 0, 0, 0
    while trials < _TRIALS and batch >= 1 and not (high and high <= _CLOSE * low):
        trials += 1
        if fits(batch):
            low = batch
        else:
            high = batch
        following = 2 * batch if not high else (low + high) // 2
        if following in (low, high):
            break
        batch = following
    return Fit(batch=low, estimated=estimated, trials=trials)
