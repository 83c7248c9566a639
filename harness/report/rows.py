"""Outcomes of a run gathered into rows: one per cell (without variant) and implementation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.case import Case, cell_id
from harness.core.outcome import TIMED, Outcome
from harness.core.status import ADMITTED, FAULTS, SEVERITY, Status, worst
from harness.store import Run

#: Strictest first; what passes gets the strictest it earns.
GRADES = ("relative", "tight", "standard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One cell and implementation: its judged outcomes by severity (worst first), and its timed outcome if any."""

    run_id: str
    case: Case
    cell: str
    implementation: str
    judged: tuple[Outcome, ...]
    timed: Outcome | None

    @property
    def status(self) -> Status:
        """Worst of the judged checks and of a fault while timed; the timed status where nothing was judged."""
        found = [outcome.status for outcome in self.judged]
        if self.timed is not None and (not found or self.timed.status in FAULTS):
            found.append(self.timed.status)
        return worst(found)

    @property
    def reason(self) -> str:
        """Why the status is what it is; empty where it is ``passed``."""
        status = self.status
        return next((o.reason for o in self.outcomes if o.status is status and o.reason), "")

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """Judged outcomes, then the timed one."""
        return self.judged if self.timed is None else (*self.judged, self.timed)

    @property
    def checks(self) -> dict[str, Status]:
        """The worst status of each check."""
        found: dict[str, Status] = {}
        for outcome in self.judged:  # worst first
            found.setdefault(outcome.check, outcome.status)
        return found

    @property
    def is_timed(self) -> bool:
        """Whether the speed of this row counts: timed, and its answer right or different only as declared."""
        return self.timed is not None and self.timed.status in ADMITTED and self.metric("median_ns") is not None

    @property
    def is_declared(self) -> bool:
        """Whether the answer differs from torch's, as declared."""
        return any(outcome.status is Status.DECLARED for outcome in self.outcomes)

    @property
    def is_baseline(self) -> bool:
        """Whether this is the implementation that the others of its cell are held against."""
        return self.timed is not None and self.timed.metrics.get("baseline") == self.implementation

    @property
    def grade(self) -> str:
        """The weakest grade that any value of this row earned; empty where none was given."""
        return weakest(str(o.metrics.get("grade") or "") for o in self.judged)

    def metric(self, name: str) -> float | None:
        """Number ``name`` of the timing, or None."""
        return None if self.timed is None else number(self.timed.metrics, name)

    def accuracy(self, value: str) -> Outcome | None:
        """The judged outcome with the largest error ÷ budget of ``loss`` or ``gradient``, or None."""
        found = [o for o in self.judged if value_of(o) == value and "error" in o.metrics]
        return max(found, key=_ratio, default=None)


def collect(run: Run) -> tuple[Row, ...]:
    """The rows of ``run`` in the order in which their first outcome was written."""
    groups: dict[tuple[Case, str], list[Outcome]] = {}
    for outcome in run.outcomes:
        groups.setdefault((outcome.case, outcome.implementation), []).append(outcome)
    cells = {case: cell_id(case) for case, _ in groups}
    return tuple(
        Row(
            run_id=run.run_id,
            case=case,
            cell=cells[case],
            implementation=implementation,
            judged=tuple(sorted((o for o in found if o.kind != TIMED), key=severity)),
            timed=next((o for o in found if o.kind == TIMED), None),
        )
        for (case, implementation), found in groups.items()
    )


def severity(outcome: Outcome) -> int:
    """Sort key: the worst status first."""
    return SEVERITY.index(outcome.status)


def number(metrics: Mapping[str, Any], name: str) -> float | None:
    """Number ``name`` of ``metrics``; None where it is missing or no number."""
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def value_of(outcome: Outcome) -> str:
    """Whether ``outcome`` judges the ``loss`` or a ``gradient``; empty for a check of neither."""
    value = str(outcome.metrics.get("value") or "")
    if value.startswith("grad"):
        return "gradient"
    if value == "loss":
        return "loss"
    return {"agreement": "loss", "gradient": "gradient"}.get(outcome.check, "")


def weakest(grades: Iterable[str]) -> str:
    """The least strict of ``grades``; texts that are no grade are passed over."""
    found = [GRADES.index(grade) for grade in grades if grade in GRADES]
    return GRADES[max(found)] if found else ""


def implementations(rows: Sequence[Row]) -> tuple[str, ...]:
    """Names in order of first appearance, those of one loss together and its baseline first."""
    names = list(dict.fromkeys(row.implementation for row in rows))
    places = {loss: place for place, loss in enumerate(dict.fromkeys(row.case.loss for row in rows))}
    # judged rows come before the others: what is asked of a loss that it does not have says little
    of = {row.implementation: places[row.case.loss] for row in sorted(rows, key=_tells_loss)}
    base = {row.implementation for row in rows if row.is_baseline}
    return tuple(sorted(names, key=lambda name: (of[name], name not in base)))


def losses_of(rows: Sequence[Row]) -> dict[str, str]:
    """Implementation → the losses that it was asked for and could answer, joined by commas."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        if _tells_loss(row):
            found.setdefault(row.implementation, {})[row.case.loss] = None
    return {name: ", ".join(losses) for name, losses in found.items()}


def _tells_loss(row: Row) -> bool:
    return row.status not in (Status.UNSUPPORTED, Status.UNAVAILABLE, Status.SKIPPED)


def _ratio(outcome: Outcome) -> float:
    ratio = number(outcome.metrics, "ratio")
    return -1.0 if ratio is None else math.inf if math.isnan(ratio) else ratio
