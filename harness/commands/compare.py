"""``compare``: what got wrong, slower, faster or right from one run to the next, from files alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from harness.core.errors import UsageError
from harness.report.text import clip, count, plain

#: Lines printed of one kind; the frame has them all.
MAX_LINES = 30
#: Changes that are told line by line; the others are counted.
TOLD = ("wrong", "slower", "faster", "right", "changed")
_STYLES = {"wrong": "bold red", "slower": "red", "ambiguous": "yellow", "faster": "green", "right": "green"}


def compare(runs: Sequence[Path], *, console: Console) -> int:
    """Print what changed from each run to the next; always 0, as ``gate`` is what judges.

    Raises:
        UsageError: fewer than two runs.
        RunFolderError: a run cannot be read.
    """
    from harness.report.compare import compare as compared
    from harness.report.frame import load

    if len(runs) < 2:
        raise UsageError(f"compare needs two runs or more; found {count(len(runs), 'run')}: compare OLD NEW")
    frames = [load(run) for run in runs]
    for old, new in pairwise(frames):
        _say(console, f"{_name(old)} → {_name(new)}", "bold")
        _print(console, compared(old, new).reset_index())
    return 0


def _print(console: Console, table: Any) -> None:
    for change in TOLD:
        rows = table[table["change"] == change].to_dict("records")
        for row in rows[:MAX_LINES]:
            _say(
                console,
                f"{change:<9} {plain(str(row['implementation']))} on {plain(str(row['cell']))}: {_why(row)}",
                _STYLES.get(change, ""),
            )
        if len(rows) > MAX_LINES:
            _say(console, f"{change:<9} … and {len(rows) - MAX_LINES} more")
    counts = table["change"].value_counts()
    told = ", ".join(f"{counts[change]} {change}" for change in counts.index.categories if counts[change])
    _say(console, told or "nothing to compare", "bold")


def _why(row: dict[str, Any]) -> str:
    if row["change"] in ("slower", "faster"):
        interval = f"×{row['factor_low']:.3f} to ×{row['factor_high']:.3f}"
        return f"speedup {row['speedup_old']:.3g} → {row['speedup_new']:.3g} ({interval})"
    reason = f": {clip(plain(str(row['reason_new'])), 200)}" if row["reason_new"] else ""
    return f"{row['status_old']} → {row['status_new']}{reason}"


def _name(frame: Any) -> str:
    return plain(str(frame["run_id"].iloc[0])) if len(frame) else "a run without outcomes"


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style=style), soft_wrap=True)
