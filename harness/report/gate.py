"""Compare a run with a baseline run, cell by cell: ratios to the baseline implementation, never seconds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT, EXIT_INCONCLUSIVE, FAULTS, Status
from harness.report.budgets import budget_of, exceeded, least_speedup
from harness.report.machine import failed_selfchecks
from harness.report.text import mapping
from harness.stats.change import Change, change
from harness.stats.interval import log_ratios
from harness.store import Run
from harness.store.samples import Samples
from harness.suite.model import Gate

PASS, REGRESSION, INCONCLUSIVE = "pass", "regression", "inconclusive"
#: (cell with its variant, implementation, kind, check).
Key = tuple[str, str, str, str]
#: (cell, implementation) → log speedups of each round, for each process that sampled.
Speeds = Mapping[tuple[str, str], tuple[tuple[float, ...], ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What the gate says of one cell and implementation, and why; ``change`` where the speed was compared."""

    cell: str
    implementation: str
    verdict: str
    reason: str
    change: Change | None = None
    speed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReport:
    """Findings, what only one of the runs has, and notes on the two runs as a whole."""

    findings: tuple[Finding, ...]
    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """``regression`` where there is one, else ``inconclusive`` where there is one or nothing was compared."""
        found = {finding.verdict for finding in self.findings}
        if REGRESSION in found:
            return REGRESSION
        return INCONCLUSIVE if INCONCLUSIVE in found or not found else PASS

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regression, 4 inconclusive."""
        return {PASS: EXIT_AS_EXPECTED, REGRESSION: EXIT_FAULT, INCONCLUSIVE: EXIT_INCONCLUSIVE}[self.verdict]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two runs: its outcomes by key, and the log speedups of its samples."""

    run: Run
    outcomes: Mapping[Key, Outcome]
    speeds: Speeds

    @property
    def baseline(self) -> str:
        """Names of the implementations that its ratios are taken to: one for each loss, joined by commas."""
        suite = mapping(self.run.header.get("suite"))
        return ", ".join(sorted(set(mapping(suite.get("baselines")).values())) or [str(suite.get("baseline", ""))])


def side_of(run: Run, samples: Iterable[Samples]) -> Side:
    """``run`` with its ``samples`` as log speedups over its baseline."""
    side = Side(run=run, outcomes={outcome.key: outcome for outcome in run.outcomes}, speeds={})
    return replace(side, speeds=log_speedups(samples, side.baseline))


def log_speedups(samples: Iterable[Samples], baseline: str) -> Speeds:
    """(cell, implementation) → log speedups over ``baseline`` of each round, the halves apart."""
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for half in sorted(samples, key=lambda one: one.half):
        own = next((name for name in baseline.split(", ") if name in half.samples_ns), "")
        base = half.samples_ns.get(own)
        for name, values in half.samples_ns.items():
            if base and name != own and len(values) == len(base):
                per_call = [value / half.calls_per_sample[name] for value in values]
                logs = log_ratios([value / half.calls_per_sample[own] for value in base], per_call)
                found.setdefault((half.cell, name), []).append(tuple(logs))
    return {key: tuple(halves) for key, halves in found.items()}


def compare_runs(new: Side, old: Side, gate: Gate) -> GateReport:
    """The verdict of each cell and implementation of ``new`` against ``old``, under the budgets of ``gate``."""
    doubt = speed_doubt(new, old)
    findings = [
        *_faults(new),
        *(finding for key in _timed_now(new) for finding in _timed(key, new, old, gate, doubt)),
    ]
    names = {
        side: {(o.case.cell, o.implementation) for o in which.outcomes.values()}
        for side, which in (("new", new), ("old", old))
    }
    return GateReport(
        findings=tuple(findings),
        new=tuple(f"{name} on {cell}" for cell, name in sorted(names["new"] - names["old"])),
        gone=tuple(f"{name} on {cell}" for cell, name in sorted(names["old"] - names["new"])),
        changed=tuple(_changed(new, old)),
        notes=tuple(_notes(new, old, doubt)),
    )


def with_remeasured(report: GateReport, again: Speeds, old: Side) -> GateReport:
    """``report`` in which a flagged slowdown that fresh samples do not show again is cleared."""
    return replace(report, findings=tuple(_again(finding, again, old) for finding in report.findings))


def _again(finding: Finding, again: Speeds, old: Side) -> Finding:
    key = (finding.cell, finding.implementation)
    if finding.verdict != REGRESSION or finding.change is None or key not in again:
        return finding
    fresh = change(old.speeds[key], again[key])
    if fresh.flagged:
        return replace(finding, reason=f"{finding.reason}; measured again: {_factor(fresh)}")
    reason = f"measured again: {_factor(fresh)}; the first time {_factor(finding.change)}"
    return replace(finding, verdict=PASS, reason=reason, change=fresh)


def speed_doubt(new: Side, old: Side) -> str:
    """Why no speed of the two runs can be compared; empty where it can."""
    if new.baseline != old.baseline:
        return f"ratios are to {new.baseline} in one run and to {old.baseline} in the other"
    for name, side in (("this run", new), ("the baseline run", old)):
        for device, reason in failed_selfchecks(side.run.header).items():
            return f"{name} could not tell a planted slowdown on {device}: {reason}"
    mine, theirs = fingerprint(new.run.header), fingerprint(old.run.header)
    different = [name for name in mine if mine[name] != theirs[name]]
    if different:
        listed = "; ".join(f"{name}: {theirs[name]} then, {mine[name]} now" for name in different)
        return f"the runs are from different hardware ({listed})"
    return ""


def fingerprint(header: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal before ratios of two runs are compared: processor, cores, caches, threads and devices."""
    environment, settings = mapping(header.get("environment")), mapping(header.get("settings"))
    devices = mapping(header.get("devices")).get("cuda") or []
    return {
        "processor": environment.get("processor"),
        "cores": environment.get("cores"),
        "last-level cache": environment.get("last_level_cache_bytes"),
        "threads": settings.get("threads"),
        "CUDA devices": ", ".join(str(mapping(device).get("name")) for device in devices) or "none",
    }


def _faults(new: Side) -> list[Finding]:
    """A judged fault is a regression, whatever the baseline run says of it; so is a fault while timed."""
    return [
        Finding(
            cell=outcome.cell, implementation=outcome.implementation, verdict=REGRESSION,
            reason=f"{outcome.check} {outcome.status.value}: {outcome.reason}",
        )
        for outcome in new.outcomes.values()
        if outcome.status in FAULTS
    ]  # fmt: skip


def _timed_now(new: Side) -> list[Key]:
    return [key for key, outcome in new.outcomes.items() if outcome.kind == TIMED and outcome.status is Status.PASSED]


def _timed(key: Key, new: Side, old: Side, gate: Gate, doubt: str) -> list[Finding]:
    cell, name = key[0], key[1]
    mine, before = new.outcomes[key].metrics, old.outcomes.get(key)
    budget = budget_of(gate, new.outcomes[key].case.cell, name)
    found = [
        Finding(cell=cell, implementation=name, verdict=REGRESSION, reason=reason)
        for reason in exceeded(mine, before.metrics if before is not None else {}, budget)
    ]
    baselines = new.baseline.split(", ")
    if budget.min_speedup is not None and name not in baselines:
        kept, reason = least_speedup(mine, budget.min_speedup)
        verdict = INCONCLUSIVE if kept is None else PASS if kept else REGRESSION
        found.append(Finding(cell=cell, implementation=name, verdict=verdict, reason=reason))
        if doubt:
            return found  # its own limit serves
    if before is None or before.status is not Status.PASSED:
        return found  # nothing to compare with: told as new or changed
    speeds = new.speeds.get((cell, name)), old.speeds.get((cell, name))
    if name in baselines or (speeds[0] is None and "speedup" not in mine):
        return found  # the measure itself, or a pass that was not compared
    if doubt or speeds[0] is None or speeds[1] is None:
        reason = doubt or "a run has no samples of it"
        return [*found, Finding(cell=cell, implementation=name, verdict=INCONCLUSIVE, reason=reason, speed=True)]
    moved = change(speeds[1], speeds[0])
    verdict, reason = _speed(moved, budget.max_slowdown or gate.max_slowdown)
    if verdict == INCONCLUSIVE and moved.enough and speeds[0] == speeds[1]:
        # one measurement does not differ from itself, however noisy it was
        verdict, reason = PASS, "the very samples of the baseline run"
    return [*found, Finding(cell=cell, implementation=name, verdict=verdict, reason=reason, change=moved, speed=True)]


def _speed(moved: Change, allowed: float) -> tuple[str, str]:
    """A slowdown beyond 1 % in both halves that is not shown to be within the budget is a regression."""
    if moved.flagged and moved.high > allowed:
        return REGRESSION, f"{_factor(moved)}, beyond 1 % in both processes; allowed ×{allowed:g}"
    if not moved.enough:
        return INCONCLUSIVE, "too few rounds in a process to say anything; give timing more seconds per cell"
    if moved.high > allowed:
        return INCONCLUSIVE, f"{_factor(moved)}: a slowdown of ×{allowed:g} cannot be excluded"
    return PASS, _factor(moved)


def _changed(new: Side, old: Side) -> list[str]:
    """Outcomes whose status is another now; faults are told as regressions."""
    return [
        f"{key[1]} on {key[0]}, {key[3]}: {old.outcomes[key].status.value} → {outcome.status.value}"
        for key, outcome in new.outcomes.items()
        if key in old.outcomes and old.outcomes[key].status is not outcome.status and outcome.status not in FAULTS
    ]


def _notes(new: Side, old: Side, doubt: str) -> list[str]:
    notes = [doubt] if doubt else []
    mine, theirs = (mapping(mapping(side.run.header.get("environment")).get("packages")) for side in (new, old))
    moved = [f"{name} {theirs.get(name)} → {mine[name]}" for name in mine if mine[name] != theirs.get(name)]
    if moved:
        notes.append(f"versions changed, and with them the baseline implementation's own speed: {', '.join(moved)}")
    if not any(outcome.kind == JUDGED for outcome in new.outcomes.values()):
        notes.append("this run judged nothing")
    return notes


def _factor(moved: Change) -> str:
    return f"×{moved.slowdown:.3f} ({moved.low:.3f} to {moved.high:.3f}) of the time it took against the baseline"


def worst_first(findings: Sequence[Finding]) -> list[Finding]:
    """Regressions, then what is inconclusive, then the rest; each in the order of the run."""
    order = (REGRESSION, INCONCLUSIVE, PASS)
    return sorted(findings, key=lambda finding: order.index(finding.verdict))
