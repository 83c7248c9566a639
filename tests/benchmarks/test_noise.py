"""The noise experiment in small: its table has what it promises; docs/method_timing.md has the real one."""

from __future__ import annotations

import random
import time

import pytest

from tests.benchmarks.noise import FILE, PLANTS, cells, go_on, report, sample_half, sampled, summaries


def test_cells_differ():
    assert len({case.cell for case in cells(300)}) == 300


def test_the_table_counts_verdicts_of_both_processes():
    draw = random.Random(1)

    def half():
        base = [1e6 * draw.lognormvariate(0, 0.2) for _ in range(60)]
        arms = {name: [b * factor * draw.lognormvariate(0, 0.01) for b in base] for name, factor in PLANTS.items()}
        return {"times": {"baseline": base, **arms}, "seconds": 1.0, "short": False}

    halves = [[half() for _ in range(10)] for _ in range(2)]
    assert {one.verdict for one in summaries(halves, "+5 %")} == {"slower"}
    text = report(halves, 0, (0.0, 0.0))
    assert "| +5 % | 10 | 0 | 0 | 0 |" in text
    assert "| twin | 0 | 0 |" in text


@pytest.mark.slow
def test_a_second_call_goes_on_where_the_first_stopped(tmp_path):
    (tmp_path / FILE).touch()
    sample_half(range(1), 0, tmp_path / FILE)
    assert set(sampled(tmp_path)) == {(0, 0)}
    go_on(1, tmp_path, time.monotonic() + 60)
    assert set(sampled(tmp_path)) == {(0, 0), (0, 1)}
    assert set(sampled(tmp_path)[0, 1]["times"]) == {"baseline", *PLANTS}
