"""``repro``: a standalone script, torch only, that shows one failure of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness.core.errors import UnknownReferenceError
from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT, FAULTS, Status
from harness.losses.catalogue import family_of
from harness.runner.survey import survey
from harness.search.capture import reproduce
from harness.store import Run, read_run
from harness.worker.process import ProcessWorkers, Workers

#: Cells that an error names when it is asked for one that is not there.
_SHOWN = 8


def repro(
    run: Path, cell: str, *, implementation: str | None, check: str | None, out: Path | None, console: Console,
    workers: Workers | None = None,
) -> int:  # fmt: skip
    """Print (or write to ``out``) a script that shows what went wrong in ``cell``; it is run once to see that it does.

    Returns 0 when the script shows the failure, 1 when no script can, and says why.

    Raises:
        UnknownReferenceError: the run has no such failed cell, or several implementations or checks failed there.
    """
    found = read_run(run)
    outcome = chosen(found.outcomes, cell, implementation, check)
    workers = workers or ProcessWorkers()
    subject, baseline = described(found, outcome.implementation, workers)
    grade = str(outcome.metrics.get("required_grade", "standard"))
    made = reproduce(subject, outcome.case, outcome.check, workers, grade=grade, torch=baseline)
    tell = console if out is not None else Console(stderr=True)
    if made.text is None or not made.shows:
        tell.print(f"{outcome.implementation} · {outcome.check} · {outcome.cell}", markup=False, soft_wrap=True)
        tell.print(f"no script shows this: {made.note}", markup=False, soft_wrap=True)
        if outcome.metrics.get("reproduce"):
            tell.print(f"judge it again: {outcome.metrics['reproduce']}", markup=False, soft_wrap=True)
        return EXIT_FAULT
    if out is None:
        sys.stdout.write(made.text)
    else:
        out.write_text(made.text, encoding="utf-8")
        console.print(f"wrote {out}; run here, it printed:\n{made.printed}", markup=False, soft_wrap=True)
    return EXIT_AS_EXPECTED


def chosen(outcomes: Sequence[Outcome], cell: str, implementation: str | None, check: str | None) -> Outcome:
    """The one failed (or declared) outcome that is asked for, failures before declared ones.

    Raises:
        UnknownReferenceError: there is none, or implementations differ in it; what there is is named.
    """
    judged = [o for o in outcomes if o.kind == JUDGED and (o.status in FAULTS or o.status is Status.DECLARED)]
    here = [o for o in judged if cell in (o.cell, o.case.cell)]
    if not here:
        known = list(dict.fromkeys(o.cell for o in judged if o.status in FAULTS)) or [o.cell for o in judged]
        listed = "\n    ".join(dict.fromkeys(known[:_SHOWN])) or "none: nothing failed in this run"
        raise UnknownReferenceError(f"nothing failed in this run on {cell!r}\n  cells that did:\n    {listed}")
    fitting = [o for o in here if implementation in (None, o.implementation) and check in (None, o.check)]
    faults = [o for o in fitting if o.status in FAULTS] or fitting
    names = list(dict.fromkeys(o.implementation for o in faults))
    if len(names) != 1:
        pairs = ", ".join(dict.fromkeys(f"{o.implementation} ({o.check})" for o in here))
        raise UnknownReferenceError(
            f"{len(names)} implementations failed there as asked; on this cell: {pairs}\n"
            "  say which: --implementation NAME [--check CHECK]"
        )
    return faults[0]


def described(run: Run, name: str, workers: Workers) -> tuple[Implementation, Implementation | None]:
    """The implementation of that name as it can be loaded now, by the reference that the run kept; and torch."""
    planned = run.header.get("planned")
    listed = planned.get("implementations", ()) if isinstance(planned, dict) else ()
    references = {str(one.get("name")): one.get("reference") for one in listed if isinstance(one, dict)}
    origins = {str(one.get("name")): one.get("origin") for one in listed if isinstance(one, dict)}
    asked = str(references[name]) if origins.get(name) == "reference" and references.get(name) else name
    found = survey(workers, (asked, "torch"), Path.cwd())
    known = [each for each in found.select((asked,)) if each.name == name]
    if not known:
        raise UnknownReferenceError(f"{asked} no longer offers {name!r}")
    return known[0], found.named.get(family_of(known[0].loss).baseline)
