"""Suite files under an inner pytest, with workers and timer that answer from a script."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from harness.checks.catalogue import questions
from harness.core.case import Case
from harness.core.expectation import parse_expectation
from harness.core.implementation import Implementation
from harness.core.outcome import TIMED, Outcome
from harness.core.status import Status
from harness.losses.catalogue import families
from harness.suite.expand import expand
from harness.under_pytest import bench, collect
from tests.conftest import plan_of
from tests.fakes import FakeWorkers

SUITE = """\
suite: small
description: two sets of inputs, each forward and with backward
baseline: torch
implementations: [torch, naive]
checks: [agreement, gradient, stability]
cases:
  - {loss: cross_entropy, batch: 4, classes: [10, 20], pass: [forward, forward_backward]}
timing: {target_relative_width: 0.5, max_seconds_per_cell: 0.1}
"""
PLUGINS = ("-p", "harness.pytest_plugin", "-p", "pytest_benchmark.plugin", "-p", "xdist.plugin")


class FakeTimer:
    """A timer that takes as long as ``ratios`` say: 1,000 ns a call for the baseline, in 20 samples of 4 calls."""

    made = 0
    ratios: ClassVar[dict[str, float]] = {}

    def __init__(self, plan, workers, record, listener) -> None:
        self.plan, self.record = plan, record
        FakeTimer.made += 1

    def close(self) -> None:
        pass

    def time(self, case: Case) -> None:
        rivals = [i.name for i in self.plan.implementations if self.record.judged(case.cell, i.name)]
        samples = {
            name: [4_000.0 / self.ratios.get(name, 1.0) * (1 + 0.001 * (n % 5)) for n in range(20)] for name in rivals
        }
        self.record.sink.append_samples(case.cell, samples, dict.fromkeys(rivals, 4))
        for name in rivals:
            ratio = self.ratios.get(name, 1.0)
            metrics = {
                "baseline": "torch", "median_ns": 1_000 / ratio, "speedup": ratio, "speedup_low": ratio * 0.99,
                "speedup_high": ratio * 1.01, "verdict": "same", "rounds": 20,
            }  # fmt: skip
            self.record.add(
                Outcome(
                    case=case, implementation=name, kind=TIMED, check="timing", status=Status.PASSED, metrics=metrics
                )
            )


class Inner:
    """An inner pytest over a suite file whose workers and timer are fakes."""

    def __init__(self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pytester, self.script = pytester, lambda name, case: Status.PASSED
        self.expect: dict[str, dict[str, str]] = {}
        self.workers = FakeWorkers(lambda *asked: self.script(*asked))  # noqa: PLW0108 - tests replace the script
        FakeTimer.made, FakeTimer.ratios = 0, {}
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
        # an inner session in this process forgets the modules it imports: patch those that were there before
        assert collect.open_bench is bench.open_bench
        monkeypatch.setattr(bench, "ProcessWorkers", lambda: self.workers)
        monkeypatch.setattr(bench, "build_plan", self._plan)
        monkeypatch.setattr(bench, "Timer", FakeTimer)
        self.write(SUITE)

    def write(self, text: str, name: str = "small.yaml") -> Path:
        path = self.pytester.path / name
        path.write_text(text, encoding="utf-8")
        return path

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*PLUGINS, *arguments)

    def _plan(self, suite, cases, asked, workers, cwd):
        names = asked.implementations or suite.implementations
        found = [
            Implementation(
                name=name, loss="cross_entropy", reference=name,
                expect=tuple(parse_expectation(text, why) for text, why in self.expect.get(name, {}).items()),
            )
            for name in names
        ]  # fmt: skip
        timing = None if suite.timing is None else {"max_seconds": 0.1}
        plan = plan_of(list(expand(suite, families())), found, timing=timing)
        return replace(plan, questions=questions(plan.cases, suite.checks)), None


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Inner:
    return Inner(pytester, monkeypatch)


@pytest.fixture
def script() -> Callable[[str, Status], Callable[[str, Case], Status]]:
    """A script under which one implementation has ``status`` in cells of 20 classes."""

    def make(name: str, status: Status):
        return lambda asked, case: status if asked == name and case.classes == 20 else Status.PASSED

    return make
