"""Hold a timing against a stored run: ratios to the baseline implementation, never seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.outcome import Outcome
from harness.report.budgets import budget_of, exceeded, least_speedup
from harness.report.gate import (
    INCONCLUSIVE,
    PASS,
    REGRESSION,
    GateReport,
    Side,
    compare_runs,
    fingerprint,
    log_speedups,
    side_of,
    speed_doubt,
    with_remeasured,
    worst_first,
)
from harness.report.text import clip, plain
from harness.stats.interval import summarise_logs
from harness.store import Samples, read_header, read_run, read_samples
from harness.suite.model import Gate as SuiteGate
from harness.under_pytest.bench import Bench

#: What is said of a timing that the stored run does not have.
NEW = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class GateVerdict:
    """What the gate says of one timing: ``pass``, ``regression``, ``inconclusive`` or ``new``, and why."""

    verdict: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The stored run to hold timings against (None: ``min_speedup`` alone); ``strict``: inconclusive fails."""

    old: Side | None
    strict: bool

    def verdict(self, bench: Bench, outcome: Outcome) -> GateVerdict | None:
        """What to say of ``outcome``, a timing of ``bench``; None where there is nothing to hold it against.

        A slowdown that shows, or a limit that is missed, is measured once more before it is called one.
        """
        least = _own_limits(bench, outcome)
        if self.old is None or (least is not None and least.verdict == REGRESSION):
            return least
        if outcome.key not in self.old.outcomes:
            told = f"the stored run {plain(self.old.run.run_id)} does not have it"
            return least or GateVerdict(verdict=NEW, reason=told)
        new = _side(bench, outcome, bench.samples(outcome.case))
        report = compare_runs(new, self.old, _without_limits(bench.suite.gate))
        if any(finding.verdict == REGRESSION and finding.change is not None for finding in report.findings):
            again = log_speedups(bench.sampled_again(outcome.case), self.old.baseline)
            report = with_remeasured(report, again, self.old)
        if least is not None and speed_doubt(new, self.old):
            # the two runs' speeds cannot be compared: the suite's own limit serves
            report = replace(report, findings=tuple(finding for finding in report.findings if not finding.speed))
        return _worst(report, least)


def _worst(report: GateReport, least: GateVerdict | None) -> GateVerdict | None:
    found = [GateVerdict(verdict=f.verdict, reason=f.reason) for f in worst_first(report.findings)[:1]]
    order = (REGRESSION, INCONCLUSIVE, PASS)
    return min([*found, *([least] if least else [])], key=lambda one: order.index(one.verdict), default=None)


def _side(bench: Bench, outcome: Outcome, samples: Sequence[Samples]) -> Side:
    side = side_of(bench.run(), samples)
    return replace(side, outcomes={outcome.key: outcome})


def stored(path: Path, suite: str, here: Mapping[str, Any] | None = None) -> Side:
    """The stored run of ``suite`` in ``path`` with its samples; ``here`` is the header of a run on this machine.

    Raises:
        UsageError: there is none.
        RunFolderError: it cannot be read.
    """
    folder = find_baseline(path, suite, here)
    return side_of(read_run(folder), read_samples(folder))


def find_baseline(path: Path, suite: str, here: Mapping[str, Any] | None = None) -> Path:
    """The stored run of ``suite`` in ``path``: itself a run folder, or a folder of them.

    Of several the newest from hardware like that of ``here`` counts, else the newest of all.

    Raises:
        UsageError: there is none.
        RunFolderError: it cannot be read.
    """
    if (path / "run.json").is_file():
        return path
    found = [
        (here is not None and fingerprint(header) == fingerprint(here), str(header.get("started") or ""), folder)
        for folder, header in _runs(path)
        if _suite(header) == suite
    ]
    if not found:
        raise UsageError(
            f"--harness-baseline {path}: no run of suite {suite!r} there\n"
            "  allowed: a run folder, or a folder that holds one; python -m harness run SUITE --out DIR makes one"
        )
    return max(found)[2]


def _runs(path: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    folders = [
        folder for folder in sorted(path.glob("*")) if (folder / "run.json").is_file() and not folder.is_symlink()
    ]
    return [(folder, read_header(folder)) for folder in folders]


def _suite(header: Mapping[str, Any]) -> str:
    suite = header.get("suite")
    return str(suite.get("name") if isinstance(suite, Mapping) else suite)


def _own_limits(bench: Bench, outcome: Outcome) -> GateVerdict | None:
    """What the suite itself allows, which needs no stored run and no particular hardware; None where it sets none."""
    budget = budget_of(bench.suite.gate, outcome.case.cell, outcome.implementation)
    over = exceeded(outcome.metrics, {}, budget)
    if over:
        return GateVerdict(verdict=REGRESSION, reason="; ".join(over))
    limit, baseline = budget.min_speedup, str(outcome.metrics.get("baseline") or "")
    if limit is None or outcome.implementation == baseline or "speedup" not in outcome.metrics:
        return None
    kept, told = least_speedup(outcome.metrics, limit)
    told += f" by min_speedup in {clip(plain(str(bench.suite.source)), 80)}"
    if kept is not False:
        return GateVerdict(verdict=PASS if kept else INCONCLUSIVE, reason=told)
    halves = log_speedups(bench.sampled_again(outcome.case), baseline).get((outcome.cell, outcome.implementation), ())
    if not any(halves):
        return GateVerdict(verdict=REGRESSION, reason=told)
    again = summarise_logs(halves, confidence=bench.suite.gate.confidence)
    told += f"; measured again: {again.low:.3g} to {again.high:.3g}"
    return GateVerdict(verdict=REGRESSION if again.high < limit else INCONCLUSIVE, reason=told)


def _without_limits(gate: SuiteGate) -> SuiteGate:
    """``gate`` less the limits that :func:`_own_limits` has held already."""
    return replace(gate, min_speedup={}, budgets=tuple(replace(one, min_speedup=None) for one in gate.budgets))
