"""What the runner tells a listener: progress displays implement this, tests record it."""

from __future__ import annotations

from typing import Protocol

from harness.core.outcome import Outcome


class Listener(Protocol):
    """Told of each step of a run as it happens."""

    def planned(self, *, judged: int, timed: int, summary: str) -> None:
        """Before anything runs: how many verdict groups and timed cells are to come, and the estimate in one line."""

    def working(self, activity: str) -> None:
        """What is under way now, in words."""

    def outcome(self, outcome: Outcome) -> None:
        """One outcome was recorded."""

    def advanced(self, kind: str) -> None:
        """One unit of work (``judged`` or ``timed``) is finished, whatever came of it."""

    def note(self, text: str) -> None:
        """Something the user should read."""


class Silent:
    """A listener that says nothing."""

    def planned(self, *, judged: int, timed: int, summary: str) -> None:
        """Ignored."""

    def working(self, activity: str) -> None:
        """Ignored."""

    def outcome(self, outcome: Outcome) -> None:
        """Ignored."""

    def advanced(self, kind: str) -> None:
        """Ignored."""

    def note(self, text: str) -> None:
        """Ignored."""
