"""The figures that go with a judged outcome, kept small where nothing went wrong."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from harness.checks.catalogue import CELL_CHECKS
from harness.core.case import Case
from harness.core.implementation import Implementation
from harness.core.outcome import Verdict
from harness.core.status import FAULTS, Status


def judged_metrics(verdict: Verdict, case: Case, description: Implementation, job: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of ``verdict``, with the command that reproduces it where it went wrong."""
    metrics: dict[str, Any] = {"seed": verdict.seed, "required_grade": job["grade"]}
    for name in ("error", "budget", "ratio", "ulp_error"):
        value = getattr(verdict, name)
        if value is not None:
            metrics[name] = float(f"{value:.6g}")
    if verdict.region:
        metrics["region"] = verdict.region
    if verdict.grade is not None:
        metrics["grade"] = verdict.grade
    if verdict.index is not None:
        metrics["worst_index"] = [int(i) for i in verdict.index]
    metrics.update({name: _plain(value) for name, value in verdict.details.items()})
    if verdict.status in FAULTS or verdict.status is Status.DECLARED:
        metrics["reproduce"] = reproduce_command(description, case, job["grade"], verdict.check)
    return metrics


def reproduce_command(description: Implementation, case: Case, grade: str, check: str) -> str:
    """The command line that judges this one cell by this one check again."""
    name = description.reference if description.origin == "reference" else description.name
    parts = ["python", "-m", "harness", "check", name, "--cell", case.cell]
    if check not in CELL_CHECKS:
        parts += ["--check", check]
    if grade != "standard":
        parts += ["--grade", grade]
    return " ".join(shlex.quote(part) for part in parts)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else str(value)
