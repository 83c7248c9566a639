"""Hold a timing against a stored run: ratios to the baseline implementation, never seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.outcome import Outcome
from harness.report.gate import (
    INCONCLUSIVE,
    PASS,
    REGRESSION,
    GateReport,
    Side,
    compare_runs,
    log_speedups,
    side_of,
    with_remeasured,
    worst_first,
)
from harness.report.text import clip, plain
from harness.store import Samples, read_header, read_run, read_samples
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

        A slowdown that shows is measured once more before it is called one.
        """
        if self.old is None:
            return _least_speedup(bench, outcome)
        if outcome.key not in self.old.outcomes:
            return GateVerdict(verdict=NEW, reason=f"the stored run {plain(self.old.run.run_id)} does not have it")
        report = compare_runs(_side(bench, outcome, bench.samples(outcome.case)), self.old, bench.suite.gate)
        if any(finding.verdict == REGRESSION and finding.change is not None for finding in report.findings):
            again = log_speedups(bench.sampled_again(outcome.case), self.old.baseline)
            report = with_remeasured(report, again, self.old)
        return _worst(report)


def _worst(report: GateReport) -> GateVerdict | None:
    findings = worst_first(report.findings)
    return GateVerdict(verdict=findings[0].verdict, reason=findings[0].reason) if findings else None


def _side(bench: Bench, outcome: Outcome, samples: Sequence[Samples]) -> Side:
    side = side_of(bench.run(), samples)
    return replace(side, outcomes={outcome.key: outcome})


def stored(path: Path, suite: str) -> Side:
    """The stored run of ``suite`` in ``path`` with its samples.

    Raises:
        UsageError: there is none.
        RunFolderError: it cannot be read.
    """
    folder = find_baseline(path, suite)
    return side_of(read_run(folder), read_samples(folder))


def find_baseline(path: Path, suite: str) -> Path:
    """The stored run of ``suite`` in ``path``: itself a run folder, or a folder of them (the newest counts).

    Raises:
        UsageError: there is none.
        RunFolderError: it cannot be read.
    """
    if (path / "run.json").is_file():
        return path
    found = [(str(header.get("started") or ""), folder) for folder, header in _runs(path) if _suite(header) == suite]
    if not found:
        raise UsageError(
            f"--harness-baseline {path}: no run of suite {suite!r} there\n"
            "  allowed: a run folder, or a folder that holds one; python -m harness run SUITE --out DIR makes one"
        )
    return max(found)[1]


def _runs(path: Path) -> list[tuple[Path, Mapping[str, Any]]]:
    folders = [
        folder for folder in sorted(path.glob("*")) if (folder / "run.json").is_file() and not folder.is_symlink()
    ]
    return [(folder, read_header(folder)) for folder in folders]


def _suite(header: Mapping[str, Any]) -> str:
    suite = header.get("suite")
    return str(suite.get("name") if isinstance(suite, Mapping) else suite)


def _least_speedup(bench: Bench, outcome: Outcome) -> GateVerdict | None:
    """The suite's own limit, which needs no stored run and no particular hardware."""
    least = bench.suite.gate.min_speedup.get(outcome.implementation)
    high, low = outcome.metrics.get("speedup_high"), outcome.metrics.get("speedup_low")
    if least is None or not isinstance(high, float | int) or not isinstance(low, float | int):
        return None
    told = f"speedup {low:.3g} to {high:.3g}, min_speedup {least:g} in {clip(plain(str(bench.suite.source)), 80)}"
    if high < least:
        return GateVerdict(verdict=REGRESSION, reason=told)
    return GateVerdict(verdict=PASS if low >= least else INCONCLUSIVE, reason=told)
