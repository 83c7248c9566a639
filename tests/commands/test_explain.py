"""``explain`` tells a verdict's budget term by term, from a run folder."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.explain import explain
from harness.core.case import Case
from harness.core.errors import UnknownReferenceError
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.store import RunFolder
from harness.worker.process import ProcessWorkers

CASE = Case(batch=4, classes=6, reduction="none")
FIGURES = {
    "error": 2e-7, "budget": 2.7e-6, "ratio": 0.07, "region": "loss", "worst_index": [1], "required_grade": "standard"
}  # fmt: skip


def made(folder: Path, *outcomes: Outcome) -> Path:
    with RunFolder.create(folder, "made", {}) as run:
        for outcome in outcomes:
            run.append(outcome)
        return run.path


def outcome(check: str, name: str = "torch", **figures: object) -> Outcome:
    metrics = {**FIGURES, **figures}
    return Outcome(case=CASE, implementation=name, kind=JUDGED, check=check, status=Status.PASSED, metrics=metrics)


def test_the_verdict_of_the_worst_implementation_is_told_for_loss_and_gradient(
    tmp_path: Path, workers: ProcessWorkers
) -> None:
    run = made(
        tmp_path, outcome("agreement"), outcome("agreement", "naive", ratio=0.5),
        outcome("gradient", region="other", worst_index=[1, 2], value="grad_logits", budget=1e-7),
        outcome("stability"),
    )  # fmt: skip
    console = Console(file=io.StringIO(), width=200)
    assert explain(run, CASE.cell, implementation=None, check=None, console=console, workers=workers) == 0
    text = console.file.getvalue()
    assert "passed: naive · agreement" in text
    assert "passed: torch · gradient" in text
    assert "error 2e-07, budget 2.7e-06 (grade standard)" in text
    assert text.count("in all") == 2
    assert "% " in text


def test_what_has_no_budget_is_refused_with_what_there_is(tmp_path: Path) -> None:
    run = made(tmp_path, Outcome(case=CASE, implementation="torch", kind=JUDGED, check="layout", status=Status.PASSED))
    console = Console(file=io.StringIO())
    with pytest.raises(UnknownReferenceError, match=r"torch layout \(passed\)"):
        explain(run, CASE.cell, implementation=None, check=None, console=console)
    with pytest.raises(UnknownReferenceError, match="judged nothing on"):
        explain(run, "cross_entropy/9x9", implementation=None, check=None, console=console)
