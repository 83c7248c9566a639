"""The self-check on samples of a known machine, and once for real."""

from __future__ import annotations

import random

from harness.timing.ceilings import measure_ceilings
from harness.timing.sampler import Samples
from harness.timing.selfcheck import case_for, facts, judge_samples, planted_arms


def samples(planted=1.05, twin=1.0, noise=0.01, rounds=60):
    draw = random.Random(3)

    def times(factor):
        return [int(1e6 * factor * draw.lognormvariate(0, noise)) for _ in range(rounds)]

    totals = {"baseline": times(1.0), "twin": times(twin), "planted": times(planted)}
    return Samples(total_ns=totals, calls=dict.fromkeys(totals, 1), converged=True, rounds=rounds)


def test_a_machine_that_sees_five_per_cent_and_nothing_else_passes():
    check = judge_samples(samples())
    assert check.reason == ""
    assert facts(check)["passed"]


def test_a_planted_slowdown_that_is_missed_makes_verdicts_invalid():
    check = judge_samples(samples(noise=0.3))
    assert "planted slowdown of 5 % was missed" in check.reason
    assert not facts(check)["passed"]


def test_identical_arms_told_apart_make_verdicts_invalid():
    assert "identical arms were told apart (slower" in judge_samples(samples(twin=1.04)).reason


def test_the_plant_is_real_extra_work():
    arms = planted_arms(case_for("cpu"), cache_bytes=1 << 20)
    rows = {name: len(arm._ring.pairs[0][0]) for name, arm in arms.items()}
    assert rows["twin"] == rows["baseline"]
    assert rows["planted"] / rows["baseline"] == 504 / 480
    assert len({id(arm._ring.turn) for arm in arms.values()}) == 1
    assert len({arm._ring.pairs[0][0].data_ptr() for arm in arms.values()}) == 1


def test_ceilings_are_positive_and_the_cache_is_no_slower_than_memory():
    found = measure_ceilings("cpu", cache_bytes=1 << 20, dtypes=["float32"])
    assert found["memory"]["dtypes"]["float32"].keys() == {"read", "write", "copy"}
    assert found["cache"]["best"] >= found["memory"]["best"] > 0
    assert found["page_fault_ns"] >= 0
