"""``gate``: compare a run with a baseline run; from their files alone unless asked to measure again."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from rich.console import Console

from harness.progress import listener
from harness.report.gate import (
    INCONCLUSIVE,
    PASS,
    REGRESSION,
    Finding,
    GateReport,
    Side,
    compare_runs,
    log_speedups,
    side_of,
    with_remeasured,
    worst_first,
)
from harness.runner.again import suite_and_asked, time_again
from harness.store import read_run, read_samples
from harness.worker.process import ProcessWorkers, Workers

_STYLES = {PASS: "green", REGRESSION: "bold red", INCONCLUSIVE: "yellow"}
#: Lines of one kind that are printed; the rest is counted.
_MOST = 60


def gate(
    run: Path, baseline: Path, *, remeasure: bool, console: Console, quiet: bool = False, workers: Workers | None = None
) -> int:
    """Print the verdict on ``run`` against ``baseline``; returns 0 (pass), 1 (regression) or 4 (inconclusive)."""
    new, old = (_side(path) for path in (run, baseline))
    suite, _ = suite_and_asked(new.run.header)
    report = compare_runs(new, old, suite.gate)
    if remeasure:
        report = _measured_again(report, new, old, console, quiet, workers)
    _render(console, report, new, old, quiet)
    return report.exit_code


def _side(path: Path) -> Side:
    return side_of(read_run(path), read_samples(path))


def _measured_again(
    report: GateReport, new: Side, old: Side, console: Console, quiet: bool, workers: Workers | None
) -> GateReport:
    """Flagged slowdowns live once more, in two more processes."""
    flagged = {(f.cell, f.implementation) for f in report.findings if f.verdict == REGRESSION and f.change is not None}
    if not flagged:
        return report
    console.print(f"measuring {len(flagged)} flagged cells again", highlight=False)
    with listener(console, quiet=quiet) as shown:
        samples = time_again(new.run.header, flagged, workers or ProcessWorkers(), shown, Path.cwd())
    return with_remeasured(report, log_speedups(samples, new.baseline), old)


def _render(console: Console, report: GateReport, new: Side, old: Side, quiet: bool) -> None:
    console.print(f"gate: {new.run.run_id} against {old.run.run_id}", markup=False, highlight=False, soft_wrap=True)
    for note in report.notes:
        console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    shown = [f for f in worst_first(report.findings) if f.verdict != PASS]
    for finding in shown[:_MOST]:
        _line(console, finding)
    if len(shown) > _MOST:
        console.print(f"… and {len(shown) - _MOST} more", highlight=False)
    if not quiet:
        for title, lines in (("new", report.new), ("gone", report.gone), ("changed", report.changed)):
            _listed(console, title, lines)
    counts = Counter(finding.verdict for finding in report.findings)
    total = ", ".join(f"{counts[verdict]} {verdict}" for verdict in (PASS, REGRESSION, INCONCLUSIVE) if counts[verdict])
    console.print(f"{total or 'nothing to compare'}: [{_STYLES[report.verdict]}]{report.verdict}[/]", highlight=False)


def _line(console: Console, finding: Finding) -> None:
    console.print(f"[{_STYLES[finding.verdict]}]{finding.verdict}[/]", end="  ", highlight=False)
    text = f"{finding.implementation} on {finding.cell}: {finding.reason}"
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _listed(console: Console, title: str, lines: tuple[str, ...]) -> None:
    for line in lines[:_MOST]:
        console.print(f"{title}: {line}", markup=False, highlight=False, soft_wrap=True)
    if len(lines) > _MOST:
        console.print(f"{title}: … and {len(lines) - _MOST} more", highlight=False)
