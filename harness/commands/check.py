"""``check``: correctness only, one line per failed verdict with the command that reproduces it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Console

from harness.checks.catalogue import questions
from harness.core.case import INTERPRETER, Case, parse_cell
from harness.core.errors import UnknownReferenceError
from harness.core.outcome import Outcome
from harness.core.status import ADMITTED, EXIT_AS_EXPECTED, EXIT_FAULT, FAULTS, Status, exit_code
from harness.losses.catalogue import families
from harness.progress import listener
from harness.registry.support import device_kind
from harness.runner.asked import Asked
from harness.runner.blindness import keep_blindness
from harness.runner.build import build_plan, cases_of
from harness.runner.events import Listener
from harness.runner.own import know_losses
from harness.runner.plan import Plan, on_device
from harness.runner.record import NoSink, Record
from harness.runner.run import count_work, execute, stale_expectations
from harness.suite.load import load_cells
from harness.worker.process import ProcessWorkers, Workers

#: Lines shown for one implementation before the rest is only counted; the JSON file has them all.
MAX_LINES = 20


def check(
    suite_text: str,
    asked: Asked,
    *,
    json_path: Path | None,
    console: Console,
    quiet: bool = False,
    workers: Workers | None = None,
) -> int:
    """Judge the implementations of ``asked`` on a suite, or on the cells named; returns the exit status."""
    workers = workers or ProcessWorkers()
    know_losses(suite_text, asked.implementations, workers, Path.cwd())
    suite = load_cells(suite_text, families())
    asked = replace(asked, only="correctness")
    cases = _named_cells(cases_of(suite, replace(asked, device=None)), asked)
    if asked.device is not None:
        cases = on_device(cases, asked.device)
    if asked.thorough and not asked.cells:
        cases = tuple(replace(case, seed=case.seed + extra) for extra in range(3) for case in cases)
    plan, _ = build_plan(suite, cases, asked, workers, Path.cwd())
    plan = _on_own_devices(plan, asked) if not asked.cells else _only_named(plan, asked)
    with listener(console, quiet=quiet) as shown:
        record = Record(NoSink(), shown)
        judged, _ = count_work(plan)
        names = ", ".join(implementation.name for implementation in plan.implementations)
        shown.planned(judged=judged, timed=0, summary=f"checking {names} on {len(plan.cases)} cells ({suite.name})")
        execute(plan, workers, record, shown)
        blind = _blind(plan, asked, workers, record, shown)
    if json_path is not None:
        json_path.write_text(json.dumps([_entry(outcome) for outcome in record.outcomes], indent=1), encoding="utf-8")
    _print(console, plan, record.outcomes, quiet)
    code = exit_code(record.statuses())
    return EXIT_FAULT if blind and code == EXIT_AS_EXPECTED else code


def _blind(plan: Plan, asked: Asked, workers: Workers, record: Record, shown: Listener) -> list[str]:
    """What the suite cannot see; not asked where a single answer is wanted, or nothing could be judged."""
    if asked.cells or asked.fail_fast or not set(record.statuses()) & ADMITTED:
        return []
    return keep_blindness(plan, workers, record, shown, {})


def _named_cells(cases: Sequence[Case], asked: Asked) -> tuple[Case, ...]:
    """The cells asked for: ids need not be in the suite, globs are matched against it."""
    if not asked.cells:
        return tuple(cases)
    chosen: list[Case] = []
    for text in asked.cells:
        if any(sign in text for sign in "*?["):
            matched = [case for case in cases if fnmatchcase(case.cell, text)]
            if not matched:
                raise UnknownReferenceError(f"no cell of the suite matches {text!r}; e.g. {cases[0].cell}")
            chosen += matched
        else:
            case = parse_cell(text)
            if case.loss not in families():
                raise UnknownReferenceError(f"{text!r}: no loss {case.loss!r}; there are {', '.join(families())}")
            chosen.append(case)
    return tuple(chosen)


def _only_named(plan: Plan, asked: Asked) -> Plan:
    """Cells named on the command line are asked exactly the checks named there, or the cell checks."""
    named = {case: asked.checks or tuple(plan.questions.get(case, ())) for case in plan.cases}
    return replace(plan, questions=MappingProxyType(named))


def _on_own_devices(plan: Plan, asked: Asked) -> Plan:
    """A kernel that cannot run on the suite's device is judged on the interpreter too, unless a device was asked for.

    Without this ``check fused_triton`` on a machine without a GPU would judge nothing. Cells of more than 2^18 logits
    are left out there: the interpreter takes about a millisecond for each program of a kernel.
    """
    if asked.device is not None:
        return plan
    suite_devices = {device_kind(case.device) for case in plan.cases}
    if all(suite_devices & set(i.devices) or INTERPRETER not in i.devices for i in plan.implementations):
        return plan
    small = [case for case in plan.cases if case.elements <= 1 << 18]
    cases = (*plan.cases, *on_device(small, INTERPRETER))
    return replace(plan, cases=cases, questions=questions(cases, plan.settings.checks, thorough=asked.thorough))


def _entry(outcome: Outcome) -> dict[str, Any]:
    return {
        "implementation": outcome.implementation,
        "check": outcome.check,
        "cell": outcome.cell,
        "status": outcome.status.value,
        "reason": outcome.reason,
        "error": outcome.metrics.get("error"),
        "budget": outcome.metrics.get("budget"),
        "region": outcome.metrics.get("region"),
        "grade": outcome.metrics.get("grade"),
        "seed": outcome.metrics.get("seed"),
        "reproduce": outcome.metrics.get("reproduce"),
    }


def _print(console: Console, plan: Plan, outcomes: Sequence[Outcome], quiet: bool) -> None:
    def say(text: str) -> None:
        console.print(text, markup=False, highlight=False, soft_wrap=True)

    for implementation in plan.implementations:
        own = [outcome for outcome in outcomes if outcome.implementation == implementation.name]
        faults = [outcome for outcome in own if outcome.status in FAULTS]
        for outcome in faults[:MAX_LINES]:
            say(f"{outcome.status.value}: {implementation.name} · {outcome.check} · {outcome.cell}: {outcome.reason}")
            say(f"    {outcome.metrics.get('reproduce', '')}")
        if len(faults) > MAX_LINES:
            say(f"    … and {len(faults) - MAX_LINES} more of {implementation.name}; --json FILE keeps them all")
        if not quiet:
            for line in _declared_lines(plan, own):
                say(line)
        counts = Counter(outcome.status for outcome in own)
        grades = Counter(o.metrics["grade"] for o in own if o.metrics.get("grade"))
        told = ", ".join(f"{counts[status]} {status.value}" for status in Status if counts[status]) or "no verdict"
        say(f"{implementation.name}: {told}" + (f"; weakest grade {_weakest(grades)}" if grades else ""))
    for note in stale_expectations(plan.implementations, outcomes):
        say(note)


def _declared_lines(plan: Plan, outcomes: Sequence[Outcome]) -> list[str]:
    """Each declared difference that showed, once, with the checks that saw it and in how many cells."""
    known = {i.name: i for i in plan.implementations}
    of_torch = [expected for one in plan.torch.values() for expected in one.expect]
    seen: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for outcome in outcomes:
        if outcome.status is Status.DECLARED:
            expected = (*known[outcome.implementation].expect, *of_torch)
            reason = next((e.reason for e in expected if e.reason in outcome.reason), outcome.reason.split(" (")[0])
            prefix = "as torch: " if "as torch: " + reason in outcome.reason else ""
            seen[outcome.implementation, prefix + reason][outcome.check] += 1
    return [
        f"declared: {name}: {reason} ({', '.join(f'{check} {count}' for check, count in counts.items())})"
        for (name, reason), counts in seen.items()
    ]


def _weakest(grades: Counter[str]) -> str:
    return next(grade for grade in ("standard", "tight", "relative") if grades[grade])
