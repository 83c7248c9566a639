"""What an item says when it fails: error, budget, region and the command that shows it again; no stack of ours."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.outcome import JUDGED, Outcome
from harness.report.text import plain, verdict_facts

#: Verdicts told one by one for an item; a check with hundreds of variants is summed up.
MAX_TOLD = 10


class ItemFailure(Exception):  # noqa: N818 - told to a user, never handled as an error
    """What an item failed for, worded for its reader; pytest shows the text alone."""


def verdicts_text(faults: Sequence[Outcome]) -> str:
    """The faults of one cell and implementation, each with its figures and the command that shows it again."""
    parts = [_verdict(outcome) for outcome in faults[:MAX_TOLD]]
    if len(faults) > MAX_TOLD:
        parts.append(f"… and {len(faults) - MAX_TOLD} more verdicts on this cell")
    return "\n\n".join(parts)


def _verdict(outcome: Outcome) -> str:
    where = outcome.check if outcome.kind == JUDGED else "while timed"
    lines = [
        f"{outcome.status.value}: {plain(outcome.implementation)} · {plain(where)} · {plain(outcome.cell)}",
        f"  {plain(outcome.reason)}",
    ]
    facts = verdict_facts(outcome.metrics)
    width = max((len(name) for name, _ in facts), default=0)
    lines += [f"  {name:<{width}}  {value}" for name, value in facts]
    if outcome.traceback:
        lines += ["  the implementation's own traceback:"]
        lines += [f"    {plain(line)}" for line in outcome.traceback.rstrip().splitlines()]
    if outcome.metrics.get("reproduce"):
        lines += ["  show it again:", f"    {plain(str(outcome.metrics['reproduce']))}"]
    return "\n".join(lines)
