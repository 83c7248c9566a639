"""What every form of the report shows, as plain values: summaries, matrix, stability map, speed groups, findings."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.case import DTYPES, INTERPRETER, PASSES, Case
from harness.core.outcome import Outcome
from harness.core.status import ADMITTED, FAULTS, SEVERITY, Status
from harness.report.machine import failed_selfchecks, why_failed
from harness.report.rows import GRADES, Row, implementations, severity
from harness.report.text import extras_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One implementation over the whole run: rows by status, speed over the rows timed, grades over the rows graded.

    ``fastest`` counts the rows in which nobody was measurably faster.
    """

    implementation: str
    statuses: Mapping[Status, int]
    timed: int
    median_speedup: float | None
    fastest: int
    grades: Mapping[str, int]
    is_baseline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a speed table: a cell and the rows of each implementation."""

    case: Case
    rows: Mapping[str, Row]
    best: frozenset[str]

    @property
    def baseline(self) -> Row | None:
        """The row of the baseline, where it was timed."""
        return next((row for row in self.rows.values() if row.is_baseline and row.is_timed), None)

    @property
    def copy(self) -> float | None:
        """Baseline's time ÷ that of a copy of the logits in the same rounds: the speedup that is there to be had."""
        return None if self.baseline is None else self.baseline.metric("copies")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Lines of one loss, device and pass, sorted by dtype, shape and regime.

    ``title`` names them, the loss only where the run has several. ``doubt`` says why no speed on the device can be
    trusted in this run, empty where it can: then nothing is best.
    """

    loss: str
    device: str
    pass_: str
    title: str
    lines: tuple[Line, ...]
    doubt: str = ""

    @property
    def has_copy(self) -> bool:
        """Whether a copy was timed beside any cell."""
        return any(line.copy is not None for line in self.lines)


def summaries(rows: Sequence[Row], groups: Sequence[Group]) -> tuple[Summary, ...]:
    """One summary per implementation, the baseline first; ``groups`` are the speed groups of ``rows``."""
    wins = Counter(name for group in groups for line in group.lines for name in line.best)
    found = []
    for name in implementations(rows):
        mine = [row for row in rows if row.implementation == name]
        ratios = [ratio for row in mine if row.is_timed and (ratio := _speedup(row)) is not None]
        found.append(
            Summary(
                implementation=name,
                statuses=by_severity(Counter(row.status for row in mine)),
                timed=sum(row.is_timed for row in mine),
                median_speedup=statistics.median(ratios) if ratios else None,
                fastest=wins[name],
                grades={grade: sum(row.grade == grade for row in mine) for grade in GRADES},
                is_baseline=any(row.is_baseline for row in mine),
            )
        )
    return tuple(found)


def by_severity(counts: Mapping[Status, int]) -> dict[Status, int]:
    """``counts`` best first, without those that are 0."""
    return {status: counts[status] for status in reversed(SEVERITY) if counts.get(status)}


def check_names(rows: Sequence[Row]) -> tuple[str, ...]:
    """Names of the checks of ``rows``, sorted."""
    return tuple(sorted({outcome.check for row in rows for outcome in row.judged}))


def check_matrix(rows: Sequence[Row]) -> dict[tuple[str, str], dict[Status, int]]:
    """(implementation, check) → number of cells by status."""
    counts: dict[tuple[str, str], Counter[Status]] = {}
    for row in rows:
        for check, status in row.checks.items():
            counts.setdefault((row.implementation, check), Counter())[status] += 1
    return {key: by_severity(found) for key, found in counts.items()}


def stability_map(rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[Status, int]]:
    """(implementation, regime, dtype) → number of judged rows by status."""
    counts: dict[tuple[str, str, str], Counter[Status]] = {}
    for row in rows:
        if row.judged:
            key = (row.implementation, row.case.regime, row.case.dtype)
            counts.setdefault(key, Counter())[row.status] += 1
    return {key: by_severity(found) for key, found in counts.items()}


def speed_groups(rows: Sequence[Row], header: Mapping[str, Any]) -> tuple[Group, ...]:
    """Cells in which something was timed, by loss, device and pass; ``header`` is that of their run."""
    doubts = _doubts(header)
    cells: dict[Case, dict[str, Row]] = {}
    for row in rows:
        cells.setdefault(row.case, {})[row.implementation] = row
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for case, found in cells.items():
        if any(row.is_timed for row in found.values()):
            best = frozenset[str]() if case.device in doubts else _fastest(found)
            line = Line(case=case, rows=found, best=best)
            groups.setdefault((case.loss, case.device, case.pass_), []).append(line)
    several = len({row.case.loss for row in rows}) > 1
    return tuple(
        Group(
            loss=key[0], device=key[1], pass_=key[2], title=" · ".join(key if several else key[1:]),
            lines=tuple(sorted(groups[key], key=lambda line: case_key(line.case))), doubt=doubts.get(key[1], ""),
        )
        for key in sorted(groups, key=lambda key: (key[0], key[1], _rank(PASSES, key[2])))
    )  # fmt: skip


def _doubts(header: Mapping[str, Any]) -> dict[str, str]:
    return {
        device: f"No speed here can be trusted: {why_failed(reason)}."
        for device, reason in failed_selfchecks(header).items()
    }


def untimed(rows: Sequence[Row]) -> dict[tuple[str, str, str], dict[Status, int]]:
    """(device, pass, implementation) → rows by status, over cells in which nothing was timed."""
    timed = {row.case for row in rows if row.is_timed}
    counts: dict[tuple[str, str, str], Counter[Status]] = {}
    for row in rows:
        if row.case not in timed:
            counts.setdefault((row.case.device, row.case.pass_, row.implementation), Counter())[row.status] += 1
    order = sorted(counts, key=lambda key: (key[0], _rank(PASSES, key[1])))
    return {key: by_severity(counts[key]) for key in order}


def faults(rows: Sequence[Row]) -> tuple[Outcome, ...]:
    """Outcomes of a row that was at fault, worst first, then by implementation, check and cell."""
    return _outcomes(rows, FAULTS)


def declared(rows: Sequence[Row]) -> tuple[Outcome, ...]:
    """Outcomes that differ as declared, by implementation, check and cell."""
    return _outcomes(rows, frozenset({Status.DECLARED}))


def word(row: Row | None) -> str:
    """Why a row shows no speed, in one word: its status, or ``judged`` where it was judged and not timed."""
    if row is None:
        return "–"
    if row.status not in ADMITTED:
        return row.status.value
    if row.timed is not None and row.timed.status not in ADMITTED and row.case.device != INTERPRETER:
        return row.timed.status.value
    return "judged"


def case_key(case: Case) -> tuple[object, ...]:
    """Order of the lines of a table: dtype, sizes, regime, other axes."""
    return (
        _rank(DTYPES, case.dtype),
        case.classes,
        case.batch,
        case.features,
        case.dims,
        case.regime,
        extras_text(case),
        case.cell,
    )


def _outcomes(rows: Sequence[Row], wanted: frozenset[Status]) -> tuple[Outcome, ...]:
    found = [outcome for row in rows for outcome in row.outcomes if outcome.status in wanted]
    return tuple(sorted(found, key=lambda o: (severity(o), o.implementation, o.check, case_key(o.case))))


def _fastest(rows: Mapping[str, Row]) -> frozenset[str]:
    """The fastest rows and those whose interval reaches the fastest's: measurement does not tell them apart.

    Where too few rounds gave no interval, the fastest median alone.
    """
    timed = {name: row for name, row in rows.items() if row.is_timed and _speedup(row) is not None}
    if len(timed) < 2:
        return frozenset()
    lead = max(timed.values(), key=lambda row: _speedup(row) or 0.0)
    floor = _end(lead, "speedup_low")
    return frozenset(name for name, row in timed.items() if row is lead or _end(row, "speedup_high") >= floor)


def _speedup(row: Row) -> float | None:
    found = row.metric("speedup")
    return found if found is not None and math.isfinite(found) else None


def _end(row: Row, name: str) -> float:
    found = [row.metric(end) for end in ("speedup_low", "speedup_high")]
    # without both ends of its interval (too few rounds: 0 to inf) a row stands by its median: else it would seem as
    # fast as any
    whole = all(end is not None and math.isfinite(end) for end in found)
    return (row.metric(name) if whole else _speedup(row)) or 0.0


def _rank(order: Sequence[str], value: str) -> tuple[int, str]:
    return (order.index(value) if value in order else len(order), value)
