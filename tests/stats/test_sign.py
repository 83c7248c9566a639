"""Exact tails of Binomial(n, ½) against scipy, and the sign test."""

from __future__ import annotations

import pytest
from scipy.stats import binom, norm

from harness.stats.sign import binomial_cdf, binomial_sf, normal_quantile, sign_test


@pytest.mark.parametrize("count", [1, 7, 20, 81, 640])
def test_tails_are_those_of_scipy(count):
    for k in (-1, 0, count // 3, count // 2, count - 1, count):
        assert binomial_cdf(k, count) == pytest.approx(binom.cdf(k, count, 0.5), rel=1e-9)
        assert binomial_sf(k, count) == pytest.approx(binom.sf(k, count, 0.5), rel=1e-9)


def test_the_far_tail_is_not_rounded_away():
    assert binomial_sf(99, 100) == pytest.approx(0.5**100)


def test_the_sign_test_counts_what_lies_above_the_threshold():
    assert sign_test([1.0] * 10, 0.0) == pytest.approx(0.5**10)
    assert sign_test([-1.0] * 10, 0.0) == 1.0
    assert sign_test([], 0.0) == 1.0


def test_quantiles_are_those_of_the_normal_distribution():
    assert normal_quantile(0.99) == pytest.approx(norm.ppf(0.99))
