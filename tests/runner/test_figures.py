"""Figures of a cell from what two fake processes sampled."""

from __future__ import annotations

import pytest

from harness.core.case import Case
from harness.core.family import Cost
from harness.runner.figures import Asked, Half, timed_figures, too_fast, with_memory, without_speed
from harness.runner.parts import Parts
from harness.stats.roofline import COPY

CEILINGS = {
    "cache_bytes": 1 << 20, "page_fault_ns": 100.0,
    "memory": {"best_read": 1e9, "best": 1e9}, "cache": {"best_read": 1e10, "best": 1e10},
}  # fmt: skip


def half(base=1000, rival=1000, rounds=20, calls=2, **shared):
    return Half(
        samples={"base": [base * calls] * rounds, "rival": [rival * calls] * rounds},
        calls={"base": calls, "rival": calls},
        rounds=rounds, arms={"rival": {"page_faults_per_call": 4, "starved_share": shared.pop("starved", 0.0)}},
        shared={"cache": "cold", "threads": 1, "converged": True, "seconds": 1.0, "clocked": 0.7, "sampling": 0.8,
                "preparing": 0.1, **shared},
    )  # fmt: skip


def asked(read_bytes=500):
    return Asked(
        case=Case(batch=1, classes=2), baseline="base", cost=Cost(read_bytes=read_bytes, write_bytes=0),
        confidence=0.99, target_relative_width=0.02, ceilings=CEILINGS,
    )  # fmt: skip


def test_rounds_of_both_processes_count():
    figures = timed_figures("rival", [half(rival=2000), half(rival=2000)], asked())
    assert (figures["rounds"], figures["median_ns"], figures["speedup"]) == (40, 2000, 0.5)
    assert figures["verdict"] == "slower"
    assert figures["speedup_halves"] == [0.5, 0.5]


def test_processes_that_disagree_make_no_verdict():
    figures = timed_figures("rival", [half(rival=1100), half(rival=1000)], asked())
    assert figures["verdict"] == "ambiguous"


def test_the_baseline_is_its_own_measure():
    figures = timed_figures("base", [half(), half()], asked())
    assert (figures["speedup"], figures["verdict"]) == (1.0, "baseline")


def test_roofline_fraction_and_page_fault_share_come_from_the_ceilings():
    figures = timed_figures("rival", [half(), half()], asked())
    assert figures["roofline_fraction"] == pytest.approx(0.5)
    assert figures["page_fault_share"] == pytest.approx(0.4)


def test_a_call_is_held_beside_the_copy_of_the_same_rounds():
    one, other = half(rival=2000), half(rival=4000)
    for found, copy in ((one, 800), (other, 1600)):
        found.samples = {**found.samples, COPY: [copy * 3] * 20}
        found.calls = {**found.calls, COPY: 3}
    figures = timed_figures("rival", [one, other], asked())
    # the copy was twice as slow where the rival was: 2.5 in both
    assert (figures["copies"], figures["copy_ns"]) == (pytest.approx(2.5), 1200)
    assert not {"copies", "copy_ns"} & set(timed_figures("rival", [half(), half()], asked()))


def test_working_memory_is_what_the_peak_holds_beside_the_results():
    figures = {"result_bytes": 100}
    assert with_memory(figures, {"peak_bytes": 130})["scratch_bytes"] == 30
    # a kernel that writes the gradient over its inputs allocates less than its results
    assert with_memory(figures, {"peak_bytes": 4})["scratch_bytes"] == 0
    assert "scratch_bytes" not in with_memory(figures, {})


def test_a_time_that_cannot_be_is_refused():
    halves = [half(rival=10), half(rival=10)]
    assert "no speed is shown" in too_fast(timed_figures("rival", halves, asked()), halves, asked())
    assert too_fast(timed_figures("base", halves, asked()), halves, asked()) is None


def test_noise_is_told_in_words():
    figures = timed_figures("rival", [half(starved=0.4, steal_share=0.2), half(discarded_rounds=3)], asked())
    for text in ("40% of samples were interrupted", "the host took 20%", "3 rounds were left out"):
        assert text in figures["noise"]
    assert "noise" not in timed_figures("rival", [half(), half()], asked())


def test_a_pass_that_is_no_like_for_like_keeps_its_time_and_loses_its_ratio():
    figures = without_speed(timed_figures("rival", [half(), half()], asked()))
    assert figures["verdict"] == "not compared"
    assert figures["median_ns"] == 1000
    assert not {"speedup", "speedup_low", "speedup_high"} & set(figures)


def test_the_parts_of_a_run_add_up():
    parts = Parts()
    parts.add_half(half())
    parts.add_half(half())
    parts.add_wall(2.5)
    shares = parts.shares(1.5)
    assert sum(shares.values()) == pytest.approx(4.0)
    assert shares["sampled"] == pytest.approx(1.4)
    assert "35% of 4 s inside the sampled calls (56% of the timing alone)" in parts.line(1.5)
    assert sum(parts.shares(1.5, 1.0).values()) == pytest.approx(5.0)
    assert "28% of 5 s inside the sampled calls (56% of the timing alone); judging 30%" in parts.line(1.5, 1.0)
    assert "observing 20%" in parts.line(1.5, 1.0)
