"""``--harness-baseline``: slower fails, as fast passes, what cannot be told is told so; ratios, never seconds."""

from __future__ import annotations

import json
import random

import pytest

from harness.core.case import Case, parse_cell
from harness.core.outcome import TIMED, Outcome
from harness.core.status import Status
from harness.hardware.host import environment
from harness.store import RunFolder
from harness.under_pytest import bench
from harness.under_pytest.gate import find_baseline
from tests.conftest import settings
from tests.pytest_plugin.conftest import SUITE, FakeTimer

pytest_plugins = ["pytester"]
CELL = "cross_entropy/4x20/float32/cpu/normal/forward/mean"


def sample(ratio: float, seed: int) -> dict[str, list[float]]:
    draw = random.Random(seed)
    return {
        name: [1_000.0 / r * draw.gauss(1, 0.002) for _ in range(60)] for name, r in (("torch", 1.0), ("naive", ratio))
    }


def passed(case: Case, name: str, metrics: dict[str, object]) -> Outcome:
    return Outcome(case=case, implementation=name, kind=TIMED, check="timing", status=Status.PASSED, metrics=metrics)


class HalvesTimer(FakeTimer):
    """Two halves of 60 rounds; ``drift`` slows the machine as a whole, ``ratios`` only from the n-th timer on."""

    drift = 1.0
    ratio_of_timer: dict[int, float] = {}  # noqa: RUF012 - reset by each test

    def time(self, case):
        ratio = self.ratio_of_timer.get(FakeTimer.made, self.ratio_of_timer[1])
        for half in (0, 1):
            found = sample(ratio, seed=half + 10 * FakeTimer.made)
            found = {name: [v * self.drift for v in values] for name, values in found.items()}
            self.record.sink.append_samples(case.cell, found, {"torch": 1, "naive": 1}, half)
        for name, speedup in (("torch", 1.0), ("naive", ratio)):
            metrics = {"baseline": "torch", "speedup": speedup, "speedup_low": speedup, "speedup_high": speedup}
            self.record.add(passed(case, name, metrics))


@pytest.fixture
def gated(inner, monkeypatch):
    monkeypatch.setattr(bench, "Timer", HalvesTimer)
    HalvesTimer.drift, HalvesTimer.ratio_of_timer = 1.0, {1: 2.0}
    header = {
        "suite": {"name": "small", "baseline": "torch", "text": SUITE},
        "environment": environment(),
        "settings": {"threads": settings().threads},
        "devices": {"cuda": []},
    }
    with RunFolder.create(inner.pytester.path / "baselines", "small", header) as folder:
        case = parse_cell(CELL)
        for half in (0, 1):
            folder.append_samples(CELL, sample(2.0, seed=100 + half), {"torch": 1, "naive": 1}, half)
        for name in ("torch", "naive"):
            metrics = {"baseline": "torch", "speedup": 2.0}
            folder.append(passed(case, name, metrics))
    inner.gate = lambda *more: inner.run(
        f"small.yaml::{CELL}", "-m", "timed", "--harness-baseline=baselines", "-W", "error", *more
    )
    return inner


def test_as_fast_as_before_passes(gated):
    gated.gate().assert_outcomes(passed=2, deselected=2)
    assert FakeTimer.made == 1


def test_a_slower_machine_is_no_regression(gated):
    HalvesTimer.drift = 1.4
    gated.gate().assert_outcomes(passed=2, deselected=2)


def test_a_slowdown_that_shows_twice_fails_with_its_size(gated):
    HalvesTimer.ratio_of_timer = {1: 1.8}
    result = gated.gate()
    result.assert_outcomes(passed=1, failed=1, deselected=2)
    text = "\n".join(result.outlines)
    assert "regression: naive" in text
    assert "×1.11" in text
    assert "measured again" in text
    assert FakeTimer.made == 2


def test_a_slowdown_that_does_not_show_again_passes(gated):
    HalvesTimer.ratio_of_timer = {1: 1.8, 2: 2.0}
    gated.gate().assert_outcomes(passed=2, deselected=2)


def test_other_hardware_is_inconclusive_and_the_suites_limit_serves(gated, monkeypatch):
    monkeypatch.setattr(bench, "environment", lambda: {**environment(), "processor": "another"})
    result = gated.gate()
    result.assert_outcomes(passed=2, deselected=2)
    assert any("different hardware" in line for line in result.outlines)
    gated.gate("--harness-inconclusive=fail").assert_outcomes(passed=1, failed=1, deselected=2)
    gated.write(SUITE + "gate: {min_speedup: {naive: 2.5}}\n")
    gated.gate().assert_outcomes(passed=1, failed=1, deselected=2)


def test_a_missed_limit_is_measured_again_before_it_fails(gated):
    gated.write(SUITE + "gate: {budgets: [{cell: '*/4x20/*', implementation: naive, min_speedup: 1.9}]}\n")
    HalvesTimer.ratio_of_timer = {1: 1.7, 2: 2.0, 3: 2.0}
    result = gated.gate()
    result.assert_outcomes(passed=2, deselected=2)
    assert any("measured again" in line for line in result.outlines)
    HalvesTimer.ratio_of_timer, FakeTimer.made = {1: 1.7}, 0
    result = gated.gate()
    result.assert_outcomes(passed=1, failed=1, deselected=2)
    assert any("at least 1.9 asked by min_speedup" in line for line in result.outlines)


def test_a_cell_that_the_stored_run_lacks_passes_and_is_told(gated):
    result = gated.run(
        f"small.yaml::{CELL.replace('forward', 'forward_backward')}", "-m", "timed", "--harness-baseline=baselines"
    )
    result.assert_outcomes(passed=2, deselected=2)
    assert any("does not have it" in line for line in result.outlines)


def test_a_folder_without_a_run_of_the_suite_is_refused(gated):
    gated.write(SUITE.replace("suite: small", "suite: other"))
    result = gated.gate()
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.USAGE_ERROR)
    assert any("no run of suite 'other' there" in line for line in result.outlines)


def test_of_several_stored_runs_that_of_the_same_hardware_counts(tmp_path):
    def keep(name: str, processor: str, started: str) -> None:
        (tmp_path / name).mkdir()
        header = {"format_version": 1, "run_id": name, "started": started, "suite": {"name": "small"}}
        text = json.dumps({**header, "environment": {"processor": processor}})
        (tmp_path / name / "run.json").write_text(text, encoding="utf-8")

    keep("mine", "A", "2026-01-01")
    keep("newer", "B", "2026-02-02")
    assert find_baseline(tmp_path, "small", {"environment": {"processor": "A"}}).name == "mine"
    assert find_baseline(tmp_path, "small", {"environment": {"processor": "C"}}).name == "newer"
    assert find_baseline(tmp_path, "small").name == "newer"
