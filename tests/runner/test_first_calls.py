"""What a sweep cost before anything ran at full speed, and how many rounds a run may keep."""

from __future__ import annotations

import random

from harness.core.case import Case
from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.runner.first_calls import first_call_lines
from harness.runner.half_job import HALVES, half_job, rounds_kept
from harness.store.samples import samples_member
from harness.worker.timer import _rounded
from tests.conftest import plan_of


def judged(name, batch, seconds, regime="normal", **metrics):
    figures = {"first_call_ns": int(seconds * 1e9), "import_ns": 200_000_000, **metrics}
    return Outcome(
        case=Case(batch=batch, classes=10, regime=regime), implementation=name, kind=JUDGED, check="agreement",
        status=Status.PASSED, metrics=figures,
    )  # fmt: skip


def test_a_sweep_tells_the_very_first_call_apart_from_those_of_further_shapes():
    outcomes = [judged("compiled", batch, 27.0 if batch == 1 else 4.0 + batch / 10, compiled_graphs=1)
                for batch in range(1, 11)]  # fmt: skip
    # the same graph serves another regime: no further first call
    outcomes.append(judged("compiled", 1, 27.0, "confident", compiled_graphs=1))
    (line,) = first_call_lines(outcomes)
    assert "import 0.2 s, the very first 27.0 s, then 4.6 s" in line
    assert "10 graphs compiled over 10 sets of shapes" in line
    assert "limit of 8" in line


def test_what_is_ready_at_once_is_no_news():
    assert first_call_lines([judged("eager", batch, 0.01) for batch in range(1, 20)]) == []


def test_a_slow_import_is_told():
    assert "import 3.0 s" in first_call_lines([judged("heavy", 1, 0.01, import_ns=3_000_000_000)])[0]


def test_two_thousand_cells_of_noisy_samples_stay_below_16_mib():
    draw, arms, cells = random.Random(0), 5, 2000
    rounds = rounds_kept(cells, arms)
    assert 100 <= rounds < rounds_kept(50, arms) == 640
    samples = {
        f"arm{arm}": _rounded([int(4e5 * draw.lognormvariate(0, 0.08)) for _ in range(rounds)]) for arm in range(arms)
    }
    member = samples_member(Case(batch=8, classes=10).cell, samples, dict.fromkeys(samples, 3))
    assert HALVES * cells * len(member) < 16 << 20


def test_rounding_a_sample_moves_it_by_less_than_a_thousandth():
    for value in (999, 1001, 9_999, 123_456, 400_123_456):
        for found in _rounded([value, value]):
            assert abs(found - value) <= 0.0005 * value


def test_each_process_is_asked_for_the_rounds_that_an_interval_takes():
    mine = Implementation(name="mine", loss="cross_entropy", reference="m:mine")
    timing = {"target_relative_width": 0.02, "max_seconds": 4.0, "cache": "cold", "confidence": 0.99}
    plan = plan_of([Case(batch=8, classes=10)], [mine], timing=timing)
    job = half_job(plan, plan.cases[0], [mine], 0, [], "mark", {})
    assert (job["min_rounds"], job["max_rounds"], job["max_seconds"]) == (8, 640, 2.0)
