"""A suite that cannot see a wrong answer fails, says where, and its cells carry what they see."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

import harness
from harness.commands.run import run
from harness.commands.selftest import selftest
from harness.core.case import Case
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT
from harness.mutants import selftest as machinery
from harness.runner.asked import Asked
from harness.runner.blindness import asked_of, blind_lines, look, sight_lines
from harness.worker.process import ProcessWorkers
from tests.conftest import plan_of

SUITE = """suite: {name}
description: what can be seen
baseline: torch
implementations: [torch]
checks: [agreement, gradient, stability]
cases:
  - {{loss: cross_entropy, batch: 4, classes: 6, dtype: float32, device: cpu, regime: {regimes}}}
timing: none
"""


def suite(folder: Path, regimes: str) -> str:
    path = folder / "suite.yaml"
    path.write_text(SUITE.format(name="seen", regimes=regimes), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("regimes", "code"), [("[normal]", EXIT_AS_EXPECTED), ("[near_one_hot_90]", EXIT_FAULT)])
def test_a_run_of_a_blind_suite_is_not_green(regimes: str, code: int, tmp_path: Path, workers: ProcessWorkers) -> None:
    told = Console(file=io.StringIO(), width=250)
    found = run(
        suite(tmp_path, regimes), Asked(), out=tmp_path / "results", dry_run=False, console=told, quiet=False,
        workers=workers,
    )  # fmt: skip
    text = told.file.getvalue()
    assert found == code
    assert ("blind: cross_entropy float32 with 6 classes" in text) == (code == EXIT_FAULT)
    report = (tmp_path / "results" / "latest" / "report.md").read_text(encoding="utf-8")
    assert "## What this suite can see" in report
    assert ("not seen" in report) == (code == EXIT_FAULT)
    page = (tmp_path / "results" / "latest" / "report.html").read_text(encoding="utf-8")
    assert 'id="sight"' in page
    frame = harness.load(tmp_path / "results" / "latest")
    row = frame.iloc[0]
    assert bool(row.value_only) == (code == EXIT_FAULT)
    assert (row.loss_visible < 2.0**-12) == (code == EXIT_AS_EXPECTED)
    assert (row.gradient_visible < 2.0**-12) == (code == EXIT_AS_EXPECTED)


def test_one_regime_that_sees_is_enough_and_the_coarse_cell_is_counted(workers: ProcessWorkers) -> None:
    cases = [Case(batch=4, classes=6, regime=regime) for regime in ("normal", "near_one_hot_90")]
    seen = look(cases, plan_of(cases, [object()]), workers)  # type: ignore[list-item]
    assert blind_lines(seen) == []
    assert sight_lines(seen)[-1] == "1 cells are value only: a zeroed gradient passes there"
    assert sight_lines(seen)[0].startswith("sees, float32: loss[loss] × (1 + 2^-")
    assert any("near_one_hot_90" in line for line in blind_lines([s for s in seen if s.case.regime != "normal"]))


def test_passes_strides_and_devices_are_measured_once() -> None:
    plain = Case(batch=4, classes=6)
    alike = [plain, plain.with_pass("forward"), Case(batch=4, classes=6, layout="padded", device="cuda")]
    assert asked_of(alike) == (plain,)
    assert len(asked_of([plain, Case(batch=4, classes=6, device="triton-interpreter")])) == 2
    assert asked_of([Case(batch=4, classes=1 << 23)]) == ()


def test_a_selftest_tells_that_the_suite_is_blind(
    tmp_path: Path, workers: ProcessWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machinery, "mutants", tuple)
    monkeypatch.setattr(machinery, "controls", lambda: tuple(c for c in _controls() if c.name == "kahan_sum"))
    told = Console(file=io.StringIO(), width=250)
    code = selftest(
        suite(tmp_path, "[near_one_hot_90]"), thorough=False, json_path=None, console=told, quiet=True, workers=workers
    )
    assert code == EXIT_FAULT
    assert "blind: cross_entropy float32 with 6 classes" in told.file.getvalue()


def _controls() -> tuple:
    from harness.mutants.catalogue import controls

    return controls()
