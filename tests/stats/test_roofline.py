"""Least time from ceilings, and figures that physics forbids."""

from __future__ import annotations

import pytest

from harness.core.family import Cost
from harness.stats.roofline import best_ceilings, implausible, roofline

CEILINGS = {
    "cache_bytes": 1000,
    "memory": {"best_read": 1e9, "best": 2e9, "dtypes": {}},
    "cache": {"best_read": 1e10, "best": 1e10, "dtypes": {}},
    "flops_per_s": {"float32": 1e9},
}


def least(cost, cache="cold"):
    return roofline(cost, CEILINGS, cache=cache, dtype="float32").least_ns


def test_cold_reads_come_from_memory():
    assert least(Cost(read_bytes=1_000_000, write_bytes=0)) == pytest.approx(1e6)


def test_what_is_written_may_stay_in_a_cache_that_holds_it():
    assert least(Cost(read_bytes=100, write_bytes=900)) == pytest.approx(100)
    assert least(Cost(read_bytes=100, write_bytes=10_000)) == pytest.approx(10_100 / 2e9 * 1e9)


def test_matrix_products_count_at_their_own_rate():
    assert least(Cost(read_bytes=1, write_bytes=1, flops=5_000)) == pytest.approx(5_000)


def test_a_time_below_the_least_possible_one_names_likely_causes():
    bound = roofline(Cost(read_bytes=1_000_000, write_bytes=0), CEILINGS, cache="cold", dtype="float32")
    reason = implausible(10_000, bound)
    for cause in ("kept", "not waited for", "another thread"):
        assert cause in reason


@pytest.mark.parametrize("median_ns", [1e6, 0.85e6])
def test_the_ceilings_own_uncertainty_accuses_nobody(median_ns):
    bound = roofline(Cost(read_bytes=1_000_000, write_bytes=0), CEILINGS, cache="cold", dtype="float32")
    assert implausible(median_ns, bound) is None


def test_a_warm_cell_is_not_judged():
    bound = roofline(Cost(read_bytes=1_000_000, write_bytes=0), CEILINGS, cache="warm", dtype="float32")
    assert bound.least_ns == pytest.approx(1e5)
    assert implausible(1.0, bound) is None


def test_of_two_measurements_the_higher_ceiling_counts():
    higher = {**CEILINGS, "memory": {"best_read": 5e8, "best": 3e9, "dtypes": {}}}
    assert best_ceilings(CEILINGS, higher)["memory"] == {"best_read": 1e9, "best": 3e9, "dtypes": {}}
