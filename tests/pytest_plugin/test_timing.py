"""Timed items under pytest-benchmark: its options work, and what it shows is what our workers measured."""

from __future__ import annotations

import json

import pytest

from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.store import Samples
from harness.under_pytest.replay import Replay, per_call
from tests.pytest_plugin.conftest import PLUGINS, SUITE, FakeTimer

pytest_plugins = ["pytester"]
CELL = "cross_entropy/4x20/float32/cpu/normal/forward/mean"


def test_the_samples_measured_are_the_samples_shown(inner):
    FakeTimer.ratios = {"naive": 2.0}
    inner.run("small.yaml", "--benchmark-json=out.json").assert_outcomes(passed=16)
    found = json.loads((inner.pytester.path / "out.json").read_text())["benchmarks"]
    assert len(found) == 8
    mine = next(b for b in found if b["fullname"] == f"small.yaml::{CELL}[naive:timing]")
    assert mine["stats"]["rounds"] == 20
    assert mine["stats"]["median"] == pytest.approx(500e-9 * 1.002, rel=1e-6)
    assert mine["group"] == CELL
    assert mine["extra_info"]["speedup"] == 2.0
    assert mine["extra_info"]["baseline"] == "torch"


def test_autosave_then_compare_shows_both(inner):
    inner.run("small.yaml", "--benchmark-autosave", "--benchmark-storage=kept").assert_outcomes(passed=16)
    FakeTimer.ratios = {"naive": 0.5}
    more = ("--benchmark-compare", "--benchmark-storage=kept", "--benchmark-compare-fail=median:20%")
    result = inner.run("small.yaml", *more)
    text = "\n".join(result.outlines + result.errlines)
    assert "naive (0001" in text
    assert "naive (NOW)" in text
    assert "Performance has regressed" in text
    assert result.ret != 0


def test_benchmark_only_judges_what_it_times_and_no_more(inner):
    result = inner.run("small.yaml", "--benchmark-only", "-k", "4x20")
    result.assert_outcomes(passed=4, skipped=4, deselected=8)
    assert {cell for kind, _, cell in inner.workers.jobs if kind == "judge"} == {
        CELL,
        CELL.replace("forward", "forward_backward"),
    }


def test_one_timer_serves_all_cells(inner):
    inner.run("small.yaml", "-m", "timed").assert_outcomes(passed=8, deselected=8)
    assert FakeTimer.made == 1


@pytest.mark.parametrize("option", ["--benchmark-disable", "--benchmark-skip"])
def test_timing_can_be_switched_off(inner, option):
    inner.run("small.yaml", option).assert_outcomes(passed=8, skipped=8)
    assert FakeTimer.made == 0


def test_without_pytest_benchmark_the_timing_still_runs(inner):
    result = inner.pytester.runpytest_inprocess(*PLUGINS[:2], "small.yaml")
    result.assert_outcomes(passed=16)


def test_a_wrong_answer_is_not_timed_and_says_why(inner, script, monkeypatch):
    inner.script = script("naive", Status.FAILED)

    def time(self, case):
        record = self.record
        for name in ("torch", "naive"):
            if not record.has(case.cell, name, "timed", "timing"):
                record.add(Outcome(case=case, implementation=name, kind="timed", check="timing", status=Status.SKIPPED,
                                   reason="not timed: its answer here is failed"))  # fmt: skip

    monkeypatch.setattr(FakeTimer, "time", time)
    result = inner.run("small.yaml", "-m", "timed", "-rs", "-W", "error")
    result.assert_outcomes(skipped=8, deselected=8)
    assert any("not timed: its answer here is failed" in line for line in result.outlines)


def test_a_crash_while_timed_fails_the_item_without_a_warning(inner, monkeypatch):
    def time(self, case):
        for name in ("torch", "naive"):
            self.record.add(Outcome(case=case, implementation=name, kind="timed", check="timing", status=Status.CRASHED,
                                    reason="was ended by SIGSEGV"))  # fmt: skip

    monkeypatch.setattr(FakeTimer, "time", time)
    result = inner.run("small.yaml", "-m", "timed", "-k", "naive and 4x20", "-W", "error")
    result.assert_outcomes(failed=2, deselected=14)
    assert any("SIGSEGV" in line for line in result.outlines)
    assert not any("harness/" in line for line in result.outlines)


def test_the_suites_least_speedup_holds_without_a_stored_run(inner):
    inner.write(SUITE + "gate: {min_speedup: {naive: 1.5}}\n")
    FakeTimer.ratios = {"naive": 2.0}
    inner.run("small.yaml", "-m", "timed").assert_outcomes(passed=8, deselected=8)
    FakeTimer.ratios = {"naive": 1.2}
    result = inner.run("small.yaml", "-m", "timed")
    result.assert_outcomes(passed=4, failed=4, deselected=8)
    assert any("at least 1.5 asked by min_speedup" in line for line in result.outlines)


def test_inconclusive_passes_with_a_notice_or_fails_as_asked(inner):
    inner.write(SUITE + "gate: {min_speedup: {naive: 1.5}}\n")
    FakeTimer.ratios = {"naive": 1.5}
    result = inner.run("small.yaml", "-m", "timed", "-W", "error")
    result.assert_outcomes(passed=8, deselected=8)
    assert any("gate did not decide" in line for line in result.outlines)
    inner.run("small.yaml", "-m", "timed", "--harness-inconclusive=fail").assert_outcomes(
        passed=4, failed=4, deselected=8
    )


def test_a_replay_takes_the_measured_time_and_not_a_moment_more():
    replay = Replay()
    half = Samples(cell="c", samples_ns={"a": (100.0, 300.0)}, calls_per_sample={"a": 2}, rounds=2)
    replay.load(per_call([half], "a"))
    moments = [replay.clock()]
    for _ in range(3):
        replay.call()
        moments.append(replay.clock())
    assert moments == pytest.approx([0.0, 50e-9, 200e-9, 200e-9])


def test_judged_outcomes_are_no_timings(inner):
    inner.write(SUITE.replace("timing: {target_relative_width: 0.5, max_seconds_per_cell: 0.1}", "timing: none"))
    inner.run("small.yaml").assert_outcomes(passed=8)
    assert {kind for kind, _, _ in inner.workers.jobs} == {"judge"}
    assert JUDGED == "judged"
