"""Verdicts of checks and outcomes of cells: what workers say and what the results folder keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.core.case import Case, parse_cell
from harness.core.status import Status

JUDGED = "judged"
TIMED = "timed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one check says of one implementation on one case.

    ``error`` and ``budget`` are those of the worst entry (absolute, in the unit of the compared value), ``index`` is
    where it stands, ``region`` which part of the result it is in (loss, target, other, ignored, …), ``ratio`` is
    error ÷ budget, ``ulp_error`` the error in units in the last place of the output dtype, ``grade`` the strictest
    grade earned, and ``variant`` tells apart several verdicts of one check on one case.
    """

    check: str
    status: Status
    reason: str = ""
    variant: str = ""
    region: str = ""
    error: float | None = None
    budget: float | None = None
    ratio: float | None = None
    ulp_error: float | None = None
    index: tuple[int, ...] | None = None
    grade: str | None = None
    seed: int = 0
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one cell for one implementation: a judged check, or its timing.

    ``metrics`` holds the figures (error, budget, region, … of a judgement; median_ns, speedup, … of a timing), each
    described in ``docs/columns.md``. The key (cell, implementation, kind, check) is unique within a run.
    """

    case: Case
    implementation: str
    kind: str
    check: str
    status: Status
    reason: str = ""
    variant: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    traceback: str | None = None

    @property
    def cell(self) -> str:
        """Cell id, with ``#variant`` behind it where a check has variants."""
        return self.case.cell + (f"#{self.variant}" if self.variant else "")

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes this outcome unique within a run."""
        return (self.cell, self.implementation, self.kind, self.check)


def outcome_to_dict(outcome: Outcome) -> dict[str, Any]:
    """One line of ``cells.jsonl``."""
    line: dict[str, Any] = {
        "cell": outcome.cell,
        "implementation": outcome.implementation,
        "kind": outcome.kind,
        "check": outcome.check,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "metrics": dict(outcome.metrics),
    }
    if outcome.traceback:
        line["traceback"] = outcome.traceback
    return line


def outcome_from_dict(line: Mapping[str, Any]) -> Outcome:
    """The outcome that :func:`outcome_to_dict` wrote; the case is read back from the cell id."""
    cell: str = line["cell"]
    return Outcome(
        case=parse_cell(cell),
        implementation=line["implementation"],
        kind=line["kind"],
        check=line["check"],
        status=Status(line["status"]),
        reason=line.get("reason", ""),
        variant=cell.partition("#")[2],
        metrics=line.get("metrics", {}),
        traceback=line.get("traceback"),
    )
