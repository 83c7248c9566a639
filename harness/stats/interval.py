"""Median and order-statistic interval of the ratio to the baseline, and what may be concluded from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median as middle

from harness.stats.sign import normal_quantile, order_statistic_rank

#: Smallest change worth a verdict: inside ±1 % two implementations are called the same.
INDIFFERENCE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioSummary:
    """The speedup of a candidate over the baseline, from paired rounds.

    ``speedup`` = baseline time ÷ candidate time (median over rounds), ``low``/``high`` its exact order-statistic
    interval at ``confidence``, ``sigma`` the robust spread of one round's log-ratio, ``detectable`` the smallest
    slowdown that so many rounds could have told from noise (a fraction), ``verdict`` faster, slower, same or
    ambiguous, and ``halves`` the speedup of each process that sampled.
    """

    speedup: float
    low: float
    high: float
    rounds: int
    sigma: float
    confidence: float
    detectable: float
    verdict: str
    halves: tuple[float, ...] = ()

    @property
    def relative_width(self) -> float:
        """Width of the interval over the speedup."""
        return (self.high - self.low) / self.speedup


def median_interval(values: Sequence[float], confidence: float) -> tuple[float, float, float]:
    """(median, low, high) of ``values``; the interval is infinite while there are too few of them.

    Raises:
        ValueError: no values.
    """
    if not len(values):
        raise ValueError("median of no values")
    ordered = sorted(float(value) for value in values)
    rank = order_statistic_rank(len(ordered), confidence)
    if rank == 0:
        return middle(ordered), -math.inf, math.inf
    return middle(ordered), ordered[rank - 1], ordered[len(ordered) - rank]


def log_ratios(baseline_ns: Sequence[float], candidate_ns: Sequence[float]) -> list[float]:
    """log(baseline ÷ candidate) of each round: the log speedup.

    Raises:
        ValueError: the two have different lengths, or a time is not positive.
    """
    if len(baseline_ns) != len(candidate_ns):
        raise ValueError(f"{len(baseline_ns)} baseline and {len(candidate_ns)} candidate samples do not pair up")
    if any(time <= 0 for time in (*baseline_ns, *candidate_ns)):
        raise ValueError("a sample of no or negative time")
    return [math.log(a / b) for a, b in zip(baseline_ns, candidate_ns, strict=True)]


def robust_sigma(values: Sequence[float]) -> float:
    """1.4826 × the median absolute deviation: the standard deviation of the bulk, whatever the tails."""
    centre = middle(values)
    return 1.4826 * middle(abs(value - centre) for value in values)


def summarise_ratio(
    baseline_ns: Sequence[float], candidate_ns: Sequence[float], *, confidence: float = 0.99
) -> RatioSummary:
    """Summary of the paired per-call times of baseline and candidate, one pair per round, in ns.

    Raises:
        ValueError: the two have different lengths, or none, or a time is not positive.
    """
    return summarise_logs([log_ratios(baseline_ns, candidate_ns)], confidence=confidence)


def summarise_logs(halves: Sequence[Sequence[float]], *, confidence: float = 0.99) -> RatioSummary:
    """Summary of the log speedups of each process that sampled; the interval is that of all rounds together.

    ``faster`` and ``slower`` need the median of every half beyond ±1 % too: what one process shows and another does
    not is a matter of where its memory lies, not of the implementation.

    Raises:
        ValueError: no round at all.
    """
    logs = [value for half in halves for value in half]
    centre, low, high = median_interval(logs, confidence)
    sigma = robust_sigma(logs)
    medians = [middle(half) for half in halves if half]
    return RatioSummary(
        speedup=math.exp(centre),
        low=math.exp(low) if low > -math.inf else 0.0,
        high=math.exp(high) if high < math.inf else math.inf,
        rounds=len(logs),
        sigma=sigma,
        confidence=confidence,
        detectable=detectable_slowdown(sigma, len(logs)),
        verdict=_agreed(verdict(low, high), medians),
        halves=tuple(math.exp(value) for value in medians),
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
    """Smallest slowdown (a fraction) found with power 1−beta at level alpha by so many paired rounds of spread sigma.

    delta = τ + (z_{1−α} + z_{1−β}) · 1.2533 σ / √n, with τ the indifference of ±1 %.
    """
    z = normal_quantile(1 - alpha) + normal_quantile(1 - beta)
    return INDIFFERENCE + z * 1.2533 * sigma / math.sqrt(rounds)


def _agreed(found: str, medians: Sequence[float]) -> str:
    margin = math.log1p(INDIFFERENCE)
    if found == "faster" and min(medians) <= margin:
        return "ambiguous"
    if found == "slower" and max(medians) >= -margin:
        return "ambiguous"
    return found
