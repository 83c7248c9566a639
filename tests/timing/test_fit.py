"""The largest batch, on machines of a known size."""

from __future__ import annotations

import pytest

from harness.core.case import Case
from harness.losses.catalogue import families
from harness.timing.fit import estimated_batch, largest_batch


def test_the_estimate_is_the_largest_batch_within_the_limit():
    assert estimated_batch(lambda batch: 100 + 10 * batch, 1000) == 90
    assert estimated_batch(lambda batch: 2000, 1000) == 0


@pytest.mark.parametrize("true_limit", [40, 90, 100, 700])
def test_a_trial_mends_an_estimate_that_is_too_low_or_too_high(true_limit):
    asked = []

    def fits(batch):
        asked.append(batch)
        return batch <= true_limit

    found = largest_batch(lambda batch: 10 * batch, 1000, fits)
    assert found.estimated == 100
    assert true_limit / 1.06 <= found.batch <= true_limit
    assert found.trials == len(asked) <= 8


def test_where_not_one_row_fits_it_says_none():
    assert largest_batch(lambda batch: 10_000, 1000, lambda batch: False).batch == 0


def test_the_estimate_of_a_family_serves():
    memory = families()["cross_entropy"].memory
    batch = estimated_batch(lambda rows: memory(Case(batch=rows, classes=32000)), 1 << 30)
    assert memory(Case(batch=batch, classes=32000)) <= 1 << 30 < memory(Case(batch=batch + 1, classes=32000))
