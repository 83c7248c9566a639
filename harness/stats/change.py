"""Whether a ratio to the baseline changed between two runs: the test of the gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, median

from harness.stats.interval import INDIFFERENCE, robust_sigma
from harness.stats.sign import normal_quantile, order_statistic_rank

#: Spread between fresh processes that is taken as given (accuracy_stats.md B2: 24 processes, 0.14 % with their noise).
PROCESS_SIGMA = 0.0015
#: π/2: the variance of a median over that of a mean.
_MEDIAN_VARIANCE = 1.571
#: Level of each half's test; both must reach it, so m unchanged cells raise m·α² false alarms.
ALPHA = 0.01

#: Log speedups of each round, for each process that sampled.
Halves = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """By what factor a candidate became slower against the baseline implementation (new time ÷ old time).

    ``low`` and ``high`` hold one-sidedly at 99 % each; ``p_values`` has one for each half, of "slower by at most 1 %";
    ``enough`` says whether every half has the rounds that a 99 % interval takes.
    """

    slowdown: float
    low: float
    high: float
    p_values: tuple[float, ...]
    enough: bool

    @property
    def flagged(self) -> bool:
        """Whether both halves show a slowdown beyond 1 %."""
        return self.enough and len(self.p_values) >= 2 and all(p <= ALPHA for p in self.p_values)


def change(old: Halves, new: Halves, *, tolerance: float = INDIFFERENCE) -> Change:
    """The change from ``old`` to ``new``.

    Each half of ``new`` is tested against the same half of ``old``: difference of medians over
    √(1.571 (σ₁²/n₁ + σ₂²/n₂) + σ_process²). The interval takes all rounds, and what the halves of a run differ by
    where that is more than their rounds explain.

    Raises:
        ValueError: a side has no round at all.
    """
    pairs = [(one, other) for one, other in zip(old, new, strict=False) if one and other]
    p_values = tuple(_p_value(one, other, tolerance) for one, other in pairs)
    all_old, all_new = [v for half in old for v in half], [v for half in new for v in half]
    shift = median(all_old) - median(all_new)
    variance = (
        sum(max(_variance([v for h in side for v in h]), _between(side)) for side in (old, new)) + PROCESS_SIGMA**2
    )
    reach = normal_quantile(1 - ALPHA) * math.sqrt(variance)
    enough = len(pairs) >= 2 and all(order_statistic_rank(len(half), 0.99) > 0 for pair in pairs for half in pair)
    return Change(
        slowdown=math.exp(shift),
        low=math.exp(shift - reach),
        high=math.exp(shift + reach),
        p_values=p_values,
        enough=enough,
    )


def _p_value(old: Sequence[float], new: Sequence[float], tolerance: float) -> float:
    shift = median(old) - median(new) - math.log1p(tolerance)
    spread = math.sqrt(_variance(old) + _variance(new) + PROCESS_SIGMA**2)
    return 1.0 - NormalDist().cdf(shift / spread)


def _variance(values: Sequence[float]) -> float:
    return _MEDIAN_VARIANCE * robust_sigma(values) ** 2 / len(values)


def _between(halves: Halves) -> float:
    """Variance of the mean of two halves' medians, from how far they lie apart."""
    medians = [median(half) for half in halves if half]
    return (max(medians) - min(medians)) ** 2 / 4 if len(medians) > 1 else 0.0
