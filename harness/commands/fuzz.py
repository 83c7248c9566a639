"""``fuzz``: draw cells over all axes until one fails, shrink it, and print it with a script that shows it."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.core.case import INTERPRETER
from harness.core.errors import NothingToRunError, UnknownReferenceError, UsageError
from harness.core.implementation import Implementation
from harness.core.outcome import Outcome
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT
from harness.losses.catalogue import families
from harness.runner.asked import Asked
from harness.runner.build import build_plan
from harness.runner.plan import Plan
from harness.search.capture import Reproduction, reproduce
from harness.suite.load import load_suite
from harness.worker.process import ProcessWorkers, Workers


def fuzz(
    reference: str, *, seconds: float, seed: int, device: str | None, out: Path | None, json_path: Path | None,
    console: Console, quiet: bool = False, workers: Workers | None = None,
) -> int:  # fmt: skip
    """Search for a failing cell of ``reference`` for ``seconds``; 0 when none is found, 1 with the simplest one.

    Raises:
        UsageError: hypothesis is missing, or ``seconds`` is not above 0.
        UnknownReferenceError: no implementation, or more than one, goes by ``reference``.
        NothingToRunError: it cannot run here.
    """
    if find_spec("hypothesis") is None:
        raise UsageError("fuzz draws cells with hypothesis, which is not installed: pip install 'loss-harness[fuzz]'")
    if not seconds > 0:
        raise UsageError(f"--seconds {seconds:g}: the time of a search is above 0")
    from harness.search.hunt import Hunt

    workers = workers or ProcessWorkers()
    plan, subject = _subject(reference, workers)
    device = device or _own_device(subject)
    began = time.monotonic()

    def told(line: str) -> None:
        if not quiet:
            console.print(f"[{time.monotonic() - began:4.0f} s] {line}", markup=False, highlight=False, soft_wrap=True)

    hunt = Hunt(plan=plan, implementation=subject, workers=workers, until=began + seconds, told=told)
    hunt.run(device, seed)
    spent = time.monotonic() - began
    if hunt.found is None:
        console.print(f"{subject.name}: {hunt.tried} cells in {spent:.0f} s, none failed (seed {seed})", markup=False)
        _write(json_path, {"implementation": subject.name, "tried": hunt.tried, "seconds": spent, "failure": None})
        return EXIT_AS_EXPECTED
    case, outcome = hunt.found
    made = reproduce(subject, case, outcome.check, workers, grade=plan.settings.grade, torch=plan.torch.get(case.loss))
    _tell(console, subject, outcome, made, out, f"{hunt.tried} cells in {spent:.0f} s (seed {seed})")
    entry = {"cell": outcome.cell, "check": outcome.check, "status": outcome.status.value, "reason": outcome.reason}
    failure = {**entry, "metrics": dict(outcome.metrics), "script_shows": made.shows}
    _write(json_path, {"implementation": subject.name, "tried": hunt.tried, "seconds": spent, "failure": failure})
    return EXIT_FAULT


def _subject(reference: str, workers: Workers) -> tuple[Plan, Implementation]:
    suite = load_suite("correctness", families())
    asked = Asked(implementations=(reference,), only="correctness")
    plan, _ = build_plan(suite, (), asked, workers, Path.cwd())
    if len(plan.implementations) != 1:
        names = ", ".join(i.name for i in plan.implementations) or "none"
        raise UnknownReferenceError(f"fuzz takes one implementation; {reference!r} gives {names}: add :CALLABLE")
    subject = plan.implementations[0]
    reason = subject.failed or subject.unavailable
    if reason is not None:
        raise NothingToRunError(f"{subject.name} cannot run here: {reason}")
    return replace(
        plan, settings=replace(plan.settings, seconds_per_call=min(plan.settings.seconds_per_call, 30))
    ), subject


def _own_device(subject: Implementation) -> str:
    """The CPU, or the interpreter for a kernel that has no other device here."""
    return "cpu" if "cpu" in subject.devices or INTERPRETER not in subject.devices else INTERPRETER


def _tell(
    console: Console, subject: Implementation, outcome: Outcome, made: Reproduction, out: Path | None, spent: str
) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    say(f"{outcome.status.value}: {subject.name} · {outcome.check} · {outcome.cell}; {spent}")
    say(f"    {outcome.reason}")
    if outcome.metrics.get("error") is not None:
        say(f"    error {outcome.metrics['error']:g}, budget {outcome.metrics.get('budget', 0):g}")
    if outcome.metrics.get("reproduce"):
        say(f"    {outcome.metrics['reproduce']}")
    if made.text is None or not made.shows:
        say(f"no script shows this: {made.note}")
        return
    path = out or Path(f"repro_{_file_name(subject.name)}.py")
    path.write_text(made.text, encoding="utf-8")
    say(f"script: {path}; run here, it printed:")
    say(made.printed)


def _file_name(name: str) -> str:
    return "".join(char if char.isalnum() or char in "_-" else "_" for char in name)[:60]


def _write(path: Path | None, values: dict[str, Any]) -> None:
    if path is not None:
        path.write_text(json.dumps(values, indent=1), encoding="utf-8")
