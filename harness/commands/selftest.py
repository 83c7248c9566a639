"""``selftest``: which mutants the harness, or a suite, catches, and which controls it accuses."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness.core.outcome import JUDGED
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT
from harness.losses.catalogue import families
from harness.mutants.catalogue import GROUPS, Mutant
from harness.mutants.matrix import matrix_lines
from harness.mutants.results import Findings, Result, result_to_dict
from harness.mutants.selftest import run_selftest
from harness.progress import listener
from harness.suite.load import load_cells
from harness.suite.model import CHECKS
from harness.worker.process import ProcessWorkers, Workers


def selftest(
    suite_text: str | None, *, thorough: bool, json_path: Path | None, console: Console, quiet: bool,
    workers: Workers | None = None,
) -> int:  # fmt: skip
    """Judge the judge; returns 0 when no mutant escaped, no control was accused and no region is unseen, else 1.

    Args:
        suite_text: a suite to grade by the mutants it catches; None asks each mutant the checks that it names.
        thorough: ask every mutant every check, and print the matrix.
        json_path: where to write every result, if anywhere.
        console: where to print.
        quiet: print escapes, accusations and the count only.
        workers: starts the processes that judge.
    """
    suite = None if suite_text is None else load_cells(suite_text, families())
    with listener(console, quiet=quiet) as shown:

        def planned(trials: int, graded: str) -> None:
            shown.planned(judged=trials, timed=0, summary=f"selftest: {trials} trials; suite graded: {graded}")

        def told(result: Result) -> None:
            shown.working(f"{result.subject.name} under {result.question}")
            # a quarter of an hour is long to wait for the name of the first escape
            if result.accused or (result.escaped and (suite is not None or result.question in CHECKS)):
                shown.note(f"{'accused' if result.accused else 'escaped'}: {result.subject.name} ({result.question})")
            shown.advanced(JUDGED)

        findings = run_selftest(suite, workers or ProcessWorkers(), thorough=thorough, planned=planned, told=told)
    if json_path is not None:
        results = (*findings.named, *findings.suite, *findings.controls)
        json_path.write_text(json.dumps([result_to_dict(r) for r in results], indent=1), encoding="utf-8")
    for line in (*_lines(findings, quiet), *(matrix_lines(findings.named) if thorough and not suite else ())):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return EXIT_FAULT if findings.escapes or findings.accusations or findings.blind else EXIT_AS_EXPECTED


def _lines(findings: Findings, quiet: bool) -> list[str]:
    main = findings.suite if findings.graded else findings.named
    lines = [] if quiet else _by_group(main)
    for result in findings.escapes:
        assert isinstance(result.subject, Mutant)
        lines.append(f"escaped: {result.subject.name} under {result.question}: {result.subject.mechanism}")
    for result in findings.accusations:
        first = result.faults[0]
        lines.append(f"accused: {result.subject.name} · {first.check} · {first.cell}: {first.reason}")
        if len(result.faults) > 1:
            lines.append(f"    … and {len(result.faults) - 1} more; --json FILE keeps the first")
    for result in findings.untested:
        lines.append(f"not put to the test: {result.subject.name} under {result.question}: {result.untested}")
    if not findings.graded and not quiet:
        caught = sum(result.caught for result in findings.suite)
        lines.append(f"the cells of {findings.suite_name} alone catch {caught} of {len(findings.suite)} mutants")
    lines += [*findings.blind, *(() if quiet else findings.sees)]
    return [*lines, _summary(findings, main)]


def _by_group(results: Sequence[Result]) -> list[str]:
    """One line for each group of documented bugs: mutants caught out of those asked."""
    asked, caught = Counter[str](), Counter[str]()
    for result in results:
        assert isinstance(result.subject, Mutant)
        asked[result.subject.group] += 1
        caught[result.subject.group] += result.caught
    return [f"{caught[group]:4} of {asked[group]:3} caught: {about}" for group, about in GROUPS.items() if asked[group]]


def _summary(findings: Findings, main: Sequence[Result]) -> str:
    names = {result.subject.name for result in main}
    escaped = {result.subject.name for result in findings.escapes}
    untested = {result.subject.name for result in findings.untested} - escaped
    kills = len(names) - len(escaped) - len(untested)
    judge = f"suite {findings.suite_name}" if findings.graded else "the checks they name"
    return (
        f"{len(names)} mutants against {judge}: {kills} killed, {len(escaped)} escaped, "
        f"{len(untested)} not put to the test; "
        f"{len(findings.controls)} controls: {len(findings.accusations)} accused ({findings.seconds:.0f} s)"
    )
