"""``explain``: the budget of a verdict, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.checks.catalogue import CELL_CHECKS
from harness.core.case import case_to_dict
from harness.core.errors import InternalError, UnknownReferenceError
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import EXIT_AS_EXPECTED
from harness.losses.catalogue import has_part
from harness.store import read_run
from harness.worker.process import ProcessWorkers, Workers

TIMEOUT_S = 120.0
_VALUES = {"agreement": "loss", "gradient": "grad_logits"}


def explain(
    run: Path, cell: str, *, implementation: str | None, check: str | None, console: Console,
    workers: Workers | None = None,
) -> int:  # fmt: skip
    """Print what was found in ``cell``, what is allowed there, and what each source of rounding adds to that.

    Raises:
        UnknownReferenceError: the run has no verdict with a budget there.
    """
    for outcome in _chosen(read_run(run).outcomes, cell, implementation, check):
        _tell(console, outcome, _asked(outcome, workers or ProcessWorkers()))
    return EXIT_AS_EXPECTED


def _chosen(outcomes: Any, cell: str, implementation: str | None, check: str | None) -> list[Outcome]:
    """The verdicts of the cell checks with a budget, as asked: by default those of each value's worst implementation.

    Raises:
        UnknownReferenceError: there is none.
    """
    here = [o for o in outcomes if o.kind == JUDGED and cell in (o.cell, o.case.cell)]
    if not here:
        raise UnknownReferenceError(f"this run judged nothing on {cell!r}; its cells: {_listed(outcomes)}")
    asked = [o for o in here if implementation in (None, o.implementation) and check in (None, o.check)]
    found = [o for o in asked if o.check in CELL_CHECKS and o.metrics.get("budget") and o.check in _VALUES]
    if not found:
        others = ", ".join(dict.fromkeys(f"{o.implementation} {o.check} ({o.status.value})" for o in here))
        raise UnknownReferenceError(
            f"no verdict there has a budget to explain; what was asked on this cell: {others}\n"
            "  agreement and gradient have one; python -m harness repro shows the call behind another check's verdict"
        )
    by_check: dict[str, Outcome] = {}
    for outcome in found:
        known = by_check.get(outcome.check)
        if known is None or float(outcome.metrics["ratio"]) > float(known.metrics["ratio"]):
            by_check[outcome.check] = outcome
    return list(by_check.values())


def _listed(outcomes: Any) -> str:
    cells = list(dict.fromkeys(o.case.cell for o in outcomes if o.check in _VALUES))
    return ", ".join(cells[:4]) + (f" and {len(cells) - 4} more" if len(cells) > 4 else "")


def _asked(outcome: Outcome, workers: Workers) -> Mapping[str, Any]:
    case, metrics = outcome.case, outcome.metrics
    if not has_part(case.loss, "explain"):
        return {"refused": f"the terms of the budgets of {case.loss} are not told apart"}
    value = str(metrics.get("value") or _VALUES[outcome.check])
    job = {
        "job": "explain", "case": case_to_dict(case), "value": value, "region": metrics.get("region", ""),
        "index": metrics.get("worst_index", []), "grade": metrics.get("required_grade", "standard"),
        "budget": metrics["budget"],
    }  # fmt: skip
    worker = workers.start(environment={})
    try:
        for message in worker.request(job, timeout_s=TIMEOUT_S):
            if "internal" in message:
                raise InternalError(f"explaining {case.cell}: {message['internal']}", message["traceback"])
            if "terms" in message or "refused" in message:
                return message
    finally:
        worker.close()
    raise InternalError(f"explaining {case.cell}: the worker sent nothing", "")


def _tell(console: Console, outcome: Outcome, told: Mapping[str, Any]) -> None:
    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    metrics = outcome.metrics
    budget = float(metrics["budget"])
    say(f"{outcome.status.value}: {outcome.implementation} · {outcome.check} · {outcome.cell}")
    if outcome.reason:
        say(f"    {outcome.reason}")
    say(
        f"    worst entry {tuple(metrics.get('worst_index', ()))} of region {metrics.get('region', '')}: "
        f"error {float(metrics['error']):.3g}, budget {budget:.3g} (grade {metrics.get('required_grade', 'standard')})"
    )
    if "refused" in told:
        say(f"    {told['refused']}")
        return
    say("    the budget, term by term:")
    for name, size in told["terms"].items():
        say(f"    {size:12.4g}  {100 * size / budget:5.1f} %  {name}")
    say(f"    {sum(told['terms'].values()):12.4g}  in all")
