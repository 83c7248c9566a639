"""``run``: judge and time a suite into a run folder, or take up one that was killed."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console

from harness import __version__
from harness.commands.github import publish
from harness.core.errors import UsageError
from harness.core.implementation import Implementation
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT, exit_code
from harness.hardware.host import environment, git_revision
from harness.losses.catalogue import families
from harness.progress import Display, Shown
from harness.registry.sources import PACKAGE
from harness.report.text import count
from harness.runner.asked import Asked
from harness.runner.blindness import keep_blindness
from harness.runner.build import build_plan, cases_of
from harness.runner.observing import observe_all
from harness.runner.own import know_losses, know_losses_of
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.runner.run import count_work, execute, stale_expectations
from harness.runner.survey import Survey
from harness.store import RunFolder
from harness.suite.estimate import estimate
from harness.suite.load import load_suite
from harness.suite.model import Suite
from harness.training.running import Trainer, Training, settled, trained_for
from harness.worker.process import ProcessWorkers, Workers

#: What shells report for a program ended by Ctrl-C.
EXIT_INTERRUPTED = 130


def run(
    suite_text: str,
    asked: Asked,
    *,
    out: Path,
    dry_run: bool,
    console: Console,
    quiet: bool,
    events: TextIO | None = None,
    workers: Workers | None = None,
) -> int:
    """Run the suite named by ``suite_text`` into a new folder under ``out``; returns the exit status.

    With ``events`` every step is written there as a line of JSON, and only the closing report goes to ``console``.
    """
    workers = workers or ProcessWorkers()
    know_losses(suite_text, asked.implementations, workers, Path.cwd())
    suite = load_suite(suite_text, families())
    cases = cases_of(suite, asked)
    plan, found = build_plan(suite, cases, asked, workers, Path.cwd())
    summary, training = _summary(suite, plan), trained_for(suite, asked, suite_text)
    if dry_run:
        _print_plan(console, plan, summary, training)
        return 0
    with RunFolder.create(out, suite.name, _header(suite, asked, plan, found)) as folder:
        display = Display(console=console, quiet=quiet, events=events)
        return _into(folder, plan, workers, display, summary, training)


def resume(
    path: Path, *, console: Console, quiet: bool, events: TextIO | None = None, workers: Workers | None = None
) -> int:
    """Finish the run in ``path``: only what is missing is run; returns the exit status."""
    from harness.suite.schema import suite_of
    from harness.suite.yaml_text import parse_document

    workers = workers or ProcessWorkers()
    with RunFolder.resume(path) as folder:
        header = folder.header
        try:
            source, text, values = header["suite"]["source"], header["suite"]["text"], dict(header["asked"])
        except (KeyError, TypeError):
            raise UsageError(f"{folder.path}/run.json lacks the suite it ran; it cannot be resumed") from None
        values["shard"] = tuple(values["shard"]) if values.get("shard") else None
        asked = Asked(
            **{
                **values,
                "implementations": tuple(values["implementations"]),
                "cells": tuple(values["cells"]),
                "checks": tuple(values["checks"]),
            }
        )
        document = parse_document(text, Path(source))
        know_losses_of(document, asked.implementations, workers, Path.cwd())
        suite = suite_of(document, families())
        plan, _ = build_plan(suite, cases_of(suite, asked), asked, workers, Path.cwd())
        for notice in folder.notices:
            console.print(notice, markup=False, highlight=False)
        kept = len(folder.done)
        summary = f"{_summary(suite, plan)}\nresuming {folder.path}: {kept} outcomes are there already"
        display = Display(console=console, quiet=quiet, events=events)
        return _into(folder, plan, workers, display, summary, trained_for(suite, asked, source))


def _into(folder: RunFolder, plan: Plan, workers: Workers, display: Display, summary: str, training: Training) -> int:
    """Execute ``plan`` into ``folder``, then derive the reports and print the closing table."""
    started = time.monotonic()
    with display.listener() as shown:
        record = Record(folder, shown, folder.outcomes())
        judged, timed = count_work(plan)
        runs = len(training.runs) * len(plan.implementations)
        shown.planned(judged=judged + runs, timed=timed, summary=summary)
        _say_missing_device(plan, shown.note)
        try:
            blind = keep_blindness(plan, workers, record, shown, folder.header.get("blindness") or {})
            observe_all(plan, workers, record, shown, folder.header.get("semantics") or {})
            execute(plan, workers, record, shown, observing_seconds=time.monotonic() - started)
            trainer = Trainer(plan, workers, record, shown, training.source)
            for setup, capture in training.runs.items():
                trainer.train(setup, capture)
        except KeyboardInterrupt:
            return _interrupted(folder, display, shown)
    code = exit_code(record.statuses())
    # a suite that cannot see a wrong answer has no business to be green
    code = EXIT_FAULT if blind and code == EXIT_AS_EXPECTED else code
    notes = [*blind, *stale_expectations(plan.implementations, record.outcomes)]
    seconds = round(time.monotonic() - started + float(folder.header.get("seconds") or 0), 3)
    folder.update_header(notes=notes, seconds=seconds, exit_status=code, ended=_now(), interrupted=False)
    _report(folder, display.console, display.quiet)
    display.ended(run=folder.path, exit_status=code)
    return code


def _interrupted(folder: RunFolder, display: Display, shown: Shown) -> int:
    """Say that everything is kept and how to go on; a second Ctrl-C would cut this short and is left out."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder.update_header(interrupted=True)
    shown.stop()
    command = f"python -m harness run --resume {shlex.quote(str(folder.path))}"
    kept = count(len(folder.done), "outcome")
    text = f"\nstopped; everything measured is kept ({kept}). Go on with:\n  {command}"
    display.console.print(text, markup=False, highlight=False, soft_wrap=True)
    display.ended(run=folder.path, exit_status=EXIT_INTERRUPTED)
    return EXIT_INTERRUPTED


def _report(folder: RunFolder, console: Console, quiet: bool) -> None:
    from harness.report.export import export
    from harness.report.terminal import render_closing
    from harness.store import read_run

    folder.write_report("report.md", export(folder.path, "markdown"))
    folder.write_report("report.html", export(folder.path, "html"))
    done = read_run(folder.path)
    if not quiet:
        render_closing(console, done)
    publish(done, console)
    console.print(f"run folder: {folder.path}", markup=False, highlight=False, soft_wrap=True)


def _header(suite: Suite, asked: Asked, plan: Plan, found: Survey) -> dict[str, Any]:
    return {
        "harness_version": __version__,
        "suite": {
            "name": suite.name,
            "source": suite.source.name,
            "text": suite.text,
            "baseline": suite.baseline,
            "baselines": {loss: one.name for loss, one in plan.baselines.items()},
        },
        "asked": asdict(asked),
        "command": ["python", "-m", "harness", *sys.argv[1:]],
        "environment": environment(),
        "devices": {"cuda": list(found.cuda), "facts": {k: v for k, v in found.facts.items() if k != "cuda"}},
        "git_revision": git_revision(PACKAGE.parent),
        "settings": asdict(plan.settings),
        "planned": {"cells": len(plan.cases), "implementations": [_described(i) for i in plan.implementations]},
    }


def _described(implementation: Implementation) -> Mapping[str, Any]:
    return {
        "name": implementation.name,
        "summary": implementation.summary,
        "origin": implementation.origin,
        "reference": implementation.reference,
        "unavailable": implementation.unavailable,
        "failed": implementation.failed,
        "expect": {e.text: e.reason for e in implementation.expect},
    }


def _summary(suite: Suite, plan: Plan) -> str:
    names = ", ".join(implementation.name for implementation in plan.implementations)
    asked = {case: sum(plan.settled(i, case) is None for i in plan.implementations) for case in plan.cases}
    rough = estimate(suite, plan.cases, families(), implementations=len(plan.implementations), asked=asked)
    baselines = ", ".join(dict.fromkeys(one.name for one in plan.baselines.values()))
    told = f"implementations: {names}; baseline {baselines or 'none'}"
    lines = [rough.line()] if plan.cases else []
    if suite.training:
        count = sum(len(entry.seeds) * max(1, len(entry.classes)) for entry in suite.training)
        lines.append(f"{count} workloads to train with each, and eleven reference runs of each workload")
    return "\n".join([f"suite {suite.name}: {suite.description}", *lines, told])


def _say_missing_device(plan: Plan, note: Any) -> None:
    """One line for a device that is not there, with the command to use instead."""
    from harness.runner.plan import device_reason

    missing = {
        case.device: reason for case in plan.cases if (reason := device_reason(case.device, plan.cuda)) is not None
    }
    for device, reason in missing.items():
        number = sum(case.device == device for case in plan.cases)
        hint = "use instead: python -m harness run cpu" if device.startswith("cuda") else ""
        note(f"{reason}: {number} cells on {device} are unavailable{'; ' + hint if hint else ''}")


def _print_plan(console: Console, plan: Plan, summary: str, training: Training) -> None:
    console.print(summary, markup=False, highlight=False)
    judged, timed = count_work(plan)
    told = f"{judged} sets of inputs would be judged, {timed} cells timed, {len(training.runs)} workloads trained"
    console.print(f"dry run: {told}; nothing was run")
    for implementation in plan.implementations:
        reasons: dict[str, int] = {}
        for case in plan.cases:
            known = plan.settled(implementation, case)
            if known is not None:
                reasons[f"{known[0]}: {known[1]}"] = reasons.get(f"{known[0]}: {known[1]}", 0) + 1
        for setup in training.runs:
            known = settled(plan, implementation, setup)
            if known is not None:
                reasons[f"{known[0]}: {known[1]}"] = reasons.get(f"{known[0]}: {known[1]}", 0) + 1
        asked = len(plan.cases) + len(training.runs) - sum(reasons.values())
        console.print(f"  {implementation.name}: {asked} cells asked", markup=False, highlight=False)
        for reason, number in reasons.items():
            console.print(f"    {number} {reason}", markup=False, highlight=False)


def _now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(timespec="seconds")
