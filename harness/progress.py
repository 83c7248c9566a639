"""Progress of a run: a live bar on a terminal, plain lines elsewhere, JSON lines for programs, nothing when quiet."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import FAULTS
from harness.report.text import clip, plain
from harness.runner.events import Listener

#: Seconds between two plain lines, so that a log of a long run stays short.
PLAIN_INTERVAL_S = 10.0


class Shown(Listener, Protocol):
    """A display: told of each step, and a context manager."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End."""

    def stop(self) -> None:
        """Leave the terminal as it was, before something else is printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """Where a run is shown: ``console`` for people, and ``events`` (None: nowhere) for programs."""

    console: Console
    quiet: bool = False
    events: TextIO | None = None

    def listener(self) -> Shown:
        """JSON lines where asked for, else what suits the console."""
        if self.events is not None:
            return JsonProgress(self.events)
        return listener(self.console, quiet=self.quiet)

    def ended(self, *, run: Path, exit_status: int) -> None:
        """The last event of a run."""
        if self.events is not None:
            _write(self.events, "ended", run=str(run), exit_status=exit_status)


def listener(console: Console, *, quiet: bool = False, environ: Mapping[str, str] = os.environ) -> Shown:
    """The display that suits ``console``: live on a terminal, plain lines elsewhere and in CI, whose logs keep all."""
    if console.is_terminal and not quiet and environ.get("CI", "").lower() in ("", "0", "false"):
        return LiveProgress(console)
    return PlainProgress(console, quiet=quiet)


class JsonProgress:
    """Every step as one line of JSON with the name of its ``event``, written at once."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def stop(self) -> None:
        """Nothing to undo."""

    def planned(self, *, judged: int, timed: int, summary: str) -> None:
        """``planned``: units of work to come."""
        _write(self._stream, "planned", judged=judged, timed=timed, summary=summary)

    def working(self, activity: str) -> None:
        """``working``: what is under way."""
        _write(self._stream, "working", activity=activity)

    def outcome(self, outcome: Outcome) -> None:
        """``outcome``: one verdict or timing, as its line in ``cells.jsonl`` but for the metrics."""
        _write(
            self._stream, "outcome", cell=outcome.cell, implementation=outcome.implementation, kind=outcome.kind,
            check=outcome.check, status=outcome.status.value, reason=outcome.reason,
        )  # fmt: skip

    def advanced(self, kind: str) -> None:
        """``advanced``: one unit of work (``judged`` or ``timed``) is finished."""
        _write(self._stream, "advanced", kind=kind)

    def note(self, text: str) -> None:
        """``note``: something to read."""
        _write(self._stream, "note", text=text)


def _write(stream: TextIO, event: str, **values: Any) -> None:
    stream.write(json.dumps({"event": event, **values}) + "\n")
    stream.flush()


class PlainProgress:
    """One line at the start, one every ten seconds, one for each fault; nothing at all when quiet."""

    def __init__(self, console: Console, *, quiet: bool = False) -> None:
        self._console, self._quiet = console, quiet
        self._total: Counter[str] = Counter()
        self._done: Counter[str] = Counter()
        self._faulty: set[tuple[str, str]] = set()
        self._said = self._started = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None

    def stop(self) -> None:
        """Nothing to undo."""

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
                told = f"{outcome.implementation} on {outcome.cell}: {clip(outcome.reason, 160)}"
                self._print(f"  {outcome.status}: {plain(told)}")

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
    """A bar for judging and one for timing, with the time left, and below them what is under way and what failed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("took"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self._tasks: dict[str, TaskID] = {}
        self._faulty: set[tuple[str, str]] = set()
        self._activity = ""
        # made last: it draws at once
        self._live = Live(console=console, transient=True, refresh_per_second=8, get_renderable=self._drawn)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bars away."""
        self._live.stop()

    def planned(self, *, judged: int, timed: int, summary: str) -> None:
        """Print the estimate and start the bars."""
        self._console.print(summary, markup=False, highlight=False)
        for kind, total in ((JUDGED, judged), (TIMED, timed)):
            if total:
                self._tasks[kind] = self._bars.add_task(kind, total=total, start=False)

    def working(self, activity: str) -> None:
        """Show what is under way."""
        kind = TIMED if activity.startswith("timing") else JUDGED
        if kind in self._tasks:
            self._bars.start_task(self._tasks[kind])
        self._activity = activity

    def outcome(self, outcome: Outcome) -> None:
        """Count cells with faults."""
        if outcome.status in FAULTS:
            self._faulty.add((outcome.case.cell, outcome.implementation))

    def advanced(self, kind: str) -> None:
        """Move the bar on."""
        if kind in self._tasks:
            self._bars.advance(self._tasks[kind])

    def note(self, text: str) -> None:
        """Print above the bars."""
        self._console.print(text, markup=False, highlight=False)

    def _drawn(self) -> RenderableType:
        failed = Text(f"{len(self._faulty)} at fault  ", style="red") if self._faulty else Text()
        now = Text(_fitted(plain(self._activity), self._console.width - len(failed) - 1), style="dim")
        return Group(self._bars, Text.assemble(failed, now, no_wrap=True))


def _fitted(text: str, width: int) -> str:
    """``text`` within ``width`` columns, its middle left out: it begins with who and ends with which pass."""
    return clip(text, max(width, 16))
