"""Progress of a run: a live bar on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

import time
from collections import Counter
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import FAULTS

#: Seconds between two plain lines, so that a log of a long run stays short.
PLAIN_INTERVAL_S = 10.0


def listener(console: Console, *, quiet: bool = False) -> LiveProgress | PlainProgress:
    """The display that suits ``console``: live on a terminal, plain lines elsewhere."""
    if console.is_terminal and not quiet:
        return LiveProgress(console)
    return PlainProgress(console, quiet=quiet)


class PlainProgress:
    """One line at the start, one every ten seconds, one for each fault; nothing at all when quiet."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._total: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._faulty: set[tuple[str, str]] = set()
        self._said = self._started = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def planned(self, *, judged: int, timed: int, summary: str) -> None:
        """Say what is to come."""
        self._total.update({JUDGED: judged, TIMED: timed})
        self._print(summary)

    def working(self, activity: str) -> None:
        """Say what is under way, at most once in ten seconds."""
        now = time.monotonic()
        if now - self._said < PLAIN_INTERVAL_S:
            return
        self._said = now
        counts = ", ".join(f"{kind} {self._done[kind]}/{total}" for kind, total in self._total.items() if total)
        failed = f", {len(self._faulty)} with faults" if self._faulty else ""
        self._print(f"[{now - self._started:5.0f} s] {counts}{failed}: {activity}")

    def outcome(self, outcome: Outcome) -> None:
        """Say a fault when it happens, once for each cell."""
        key = (outcome.case.cell, outcome.implementation)
        if outcome.status in FAULTS and key not in self._faulty:
            self._faulty.add(key)
            if len(self._faulty) <= 20:
                self._print(f"  {outcome.status}: {outcome.implementation} on {outcome.cell}: {outcome.reason[:160]}")

    def advanced(self, kind: str) -> None:
        """Count."""
        self._done[kind] += 1

    def note(self, text: str) -> None:
        """Say it."""
        self._print(text)

    def _print(self, text: str) -> None:
        if not self._quiet:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)


class LiveProgress:
    """A bar for judging and one for timing, with counts of faults, the time left, and what is under way."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[activity]}"),
            console=console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._faulty: set[tuple[str, str]] = set()

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def planned(self, *, judged: int, timed: int, summary: str) -> None:
        """Print the estimate and start the bars."""
        self._console.print(summary, markup=False, highlight=False)
        for kind, total in ((JUDGED, judged), (TIMED, timed)):
            if total:
                self._tasks[kind] = self._bar.add_task(kind, total=total, activity="", start=False)

    def working(self, activity: str) -> None:
        """Show what is under way beside the bar it belongs to."""
        kind = TIMED if activity.startswith("timing") else JUDGED
        if kind in self._tasks:
            self._bar.start_task(self._tasks[kind])
            failed = f"[red]{len(self._faulty)} with faults[/red] " if self._faulty else ""
            self._bar.update(self._tasks[kind], activity=failed + escape(_fitted(activity, self._console.width - 60)))

    def outcome(self, outcome: Outcome) -> None:
        """Count cells with faults."""
        if outcome.status in FAULTS:
            self._faulty.add((outcome.case.cell, outcome.implementation))

    def advanced(self, kind: str) -> None:
        """Move the bar on."""
        if kind in self._tasks:
            self._bar.advance(self._tasks[kind])

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._console.print(text, markup=False, highlight=False)


def _fitted(text: str, width: int) -> str:
    return text if len(text) <= max(width, 8) else "…" + text[-max(width - 1, 8) :]
