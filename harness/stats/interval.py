"""Median and order-statistic interval of the ratio to the baseline, and what may be concluded from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import binom, norm

#: Smallest change worth a verdict: inside ±1 % two implementations are called the same.
INDIFFERENCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioSummary:
    """The speedup of a candidate over the baseline, from paired rounds.

    ``speedup`` = baseline time ÷ candidate time (median over rounds), ``low``/``high`` its exact order-statistic interval at
    ``confidence``, ``sigma`` the robust spread of one round's log-ratio, ``detectable`` the smallest slowdown that this
    many rounds could have told from noise (a fraction), ``verdict`` faster, slower, same or ambiguous.
    """

    speedup: float
    low: float
    high: float
    rounds: int
    sigma: float
    confidence: float
    detectable: float
    verdict: str

    @property
    def relative_width(self) -> float:
        """Width of the interval over the speedup."""
        return (self.high - self.low) / self.speedup


@lru_cache(maxsize=1024)
def order_statistic_rank(count: int, confidence: float) -> int:
    """Largest k with P(Binomial(count, ½) ≤ k−1) ≤ (1−confidence)/2; 0 when even the extremes do not suffice.

    [x_(k), x_(count+1−k)] then covers the median with at least ``confidence`` for any continuous distribution.
    """
    alpha = (1.0 - confidence) / 2.0
    rank = int(binom.ppf(alpha, count, 0.5))
    while rank > 0 and binom.cdf(rank - 1, count, 0.5) > alpha:
        rank -= 1
    while binom.cdf(rank, count, 0.5) <= alpha:
        rank += 1
    return rank


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """(median, low, high) of ``values``; the interval is infinite while there are too few of them.

    Raises:
        ValueError: no values.
    """
    if not len(values):
        raise ValueError("median of no values")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    rank = order_statistic_rank(len(ordered), confidence)
    median = float(np.median(ordered))
    if rank == 0:
        return median, -math.inf, math.inf
    return median, float(ordered[rank - 1]), float(ordered[len(ordered) - rank])


def summarise_ratio(
    baseline_ns: Sequence[float], candidate_ns: Sequence[float], *, confidence: float = 0.99
) -> RatioSummary:
    """Summary of the paired per-call times of baseline and candidate, one pair per round, in ns.

    Raises:
        ValueError: the two have different lengths, or none, or a time is not positive.
    """
    if len(baseline_ns) != len(candidate_ns):
        raise ValueError(f"{len(baseline_ns)} baseline and {len(candidate_ns)} candidate samples do not pair up")
    baseline = np.asarray(baseline_ns, dtype=np.float64)
    candidate = np.asarray(candidate_ns, dtype=np.float64)
    if (baseline <= 0).any() or (candidate <= 0).any():
        raise ValueError("a sample of no or negative time")
    logs = np.log(baseline) - np.log(candidate)
    median, low, high = median_interval(logs, confidence)
    sigma = 1.4826 * float(np.median(np.abs(logs - median)))
    return RatioSummary(
        speedup=math.exp(median),
        low=math.exp(low) if low > -math.inf else 0.0,
        high=math.exp(high) if high < math.inf else math.inf,
        rounds=len(logs),
        sigma=sigma,
        confidence=confidence,
        detectable=detectable_slowdown(sigma, len(logs)),
        verdict=verdict(low, high),
    )


def verdict(low: float, high: float, indifference: float = INDIFFERENCE) -> str:
    """``faster``, ``slower``, ``same`` or ``ambiguous`` from an interval of the log speedup."""
    margin = math.log1p(indifference)
    if low > margin:
        return "faster"
    if high < -margin:
        return "slower"
    if low >= -margin and high <= margin:
        return "same"
    return "ambiguous"


def detectable_slowdown(sigma: float, rounds: int, *, alpha: float = 0.01, beta: float = 0.05) -> float:
    """Smallest slowdown (a fraction) found with power 1−beta at level alpha by ``rounds`` paired rounds of spread sigma.

    delta = τ + (z_{1−α} + z_{1−β}) · 1.2533 σ / √n, with τ the indifference of ±1 %.
    """
    z = float(norm.ppf(1 - alpha) + norm.ppf(1 - beta))
    return INDIFFERENCE + z * 1.2533 * sigma / math.sqrt(rounds)
