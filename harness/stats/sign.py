"""The sign test and its order statistics: exact at probability ½, in whole numbers, from the standard library alone.

scipy.stats gives the same figures and takes over a second to import in each process that samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist


@lru_cache(maxsize=8192)
def binomial_cdf(k: int, count: int) -> float:
    """P(Binomial(count, ½) ≤ k)."""
    if k < 0:
        return 0.0
    if k >= count:
        return 1.0
    if 2 * k >= count:
        # the distribution is symmetric, and the shorter tail is the shorter sum
        return 1.0 - binomial_cdf(count - k - 1, count)
    return sum(math.comb(count, i) for i in range(k + 1)) / 2**count


def binomial_sf(k: int, count: int) -> float:
    """P(Binomial(count, ½) > k), accurate in the far tail."""
    return binomial_cdf(count - k - 1, count)


@lru_cache(maxsize=1024)
def order_statistic_rank(count: int, confidence: float) -> int:
    """Largest k with P(Binomial(count, ½) ≤ k−1) ≤ (1−confidence)/2; 0 when even the extremes do not suffice.

    [x_(k), x_(count+1−k)] then covers the median with at least ``confidence`` for any continuous distribution.
    """
    alpha = (1.0 - confidence) / 2.0
    low, high = 0, count // 2 + 1
    while low < high:
        middle = (low + high + 1) // 2
        if binomial_cdf(middle - 1, count) <= alpha:
            low = middle
        else:
            high = middle - 1
    return low


def rounds_for_interval(confidence: float) -> int:
    """Fewest values whose median has an interval of ``confidence``: 8 at 99 %."""
    return next(count for count in range(1, 1024) if order_statistic_rank(count, confidence) > 0)


def sign_test(values: Sequence[float], threshold: float) -> float:
    """p-value of "the median of ``values`` is at most ``threshold``" against "it is larger"; 1 for no values."""
    above = sum(value > threshold for value in values)
    return binomial_sf(above - 1, len(values)) if len(values) else 1.0


def normal_quantile(probability: float) -> float:
    """z with P(standard normal ≤ z) = ``probability``."""
    return NormalDist().inv_cdf(probability)
