"""Order-statistic intervals: right coverage, right ranks, and verdicts that abstain when they must."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from harness.stats.interval import (
    detectable_slowdown,
    median_interval,
    order_statistic_rank,
    summarise_logs,
    summarise_ratio,
    verdict,
)


@pytest.mark.parametrize("count", [5, 8, 20, 45, 101, 320])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_the_rank_is_the_largest_whose_tail_is_within_alpha(count, confidence):
    rank = order_statistic_rank(count, confidence)
    alpha = (1 - confidence) / 2
    assert rank == 0 or binom.cdf(rank - 1, count, 0.5) <= alpha
    assert binom.cdf(rank, count, 0.5) > alpha


def test_the_interval_covers_the_median_as_often_as_it_says():
    draws = np.random.Generator(np.random.PCG64(7)).standard_cauchy((2000, 41))
    covered = sum(low <= 0 <= high for _, low, high in (median_interval(row, 0.99) for row in draws))
    assert covered / 2000 >= 0.985


def test_too_few_values_give_an_infinite_interval():
    assert median_interval([1.0, 2.0, 3.0], 0.99)[1:] == (-math.inf, math.inf)


def test_speedup_is_baseline_over_candidate():
    summary = summarise_ratio([2.0] * 40, [1.0] * 40)
    assert summary.speedup == pytest.approx(2.0)
    assert summary.verdict == "faster"
    assert summary.low <= summary.speedup <= summary.high


def test_pairing_cancels_drift_that_both_share():
    drift = np.exp(np.linspace(0, 2, 60))
    summary = summarise_ratio(drift, 1.10 * drift)
    assert summary.verdict == "slower"
    assert summary.relative_width < 1e-9


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.02, 0.03, "faster"),
        (-0.03, -0.02, "slower"),
        (-0.005, 0.005, "same"),
        (-0.02, 0.02, "ambiguous"),
        (0.0, 0.02, "ambiguous"),
    ],
)
def test_verdicts(low, high, expected):
    assert verdict(low, high) == expected


def test_more_rounds_detect_smaller_slowdowns_down_to_the_indifference():
    few, many = detectable_slowdown(0.012, 40), detectable_slowdown(0.012, 320)
    assert 0.01 < many < few
    # the reference figure: sigma 1.2 % and 40 rounds find 1.9 %
    assert few == pytest.approx(0.019, abs=0.001)


@pytest.mark.parametrize(("one", "other"), [([1.0], []), ([0.0], [1.0])])
def test_samples_that_do_not_pair_or_have_no_time_are_refused(one, other):
    with pytest.raises(ValueError, match="sample"):
        summarise_ratio(one, other)


def test_a_slowdown_that_one_process_alone_shows_is_ambiguous():
    one, other = [math.log(1 / 1.05)] * 40, [0.0] * 6
    assert summarise_logs([one]).verdict == "slower"
    found = summarise_logs([one, other])
    assert found.verdict == "ambiguous"
    assert found.halves == pytest.approx((1 / 1.05, 1.0))


def test_a_slowdown_that_both_processes_show_is_slower():
    assert summarise_logs([[math.log(1 / 1.05)] * 20, [math.log(1 / 1.04)] * 20]).verdict == "slower"
