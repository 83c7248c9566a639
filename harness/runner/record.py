"""Where outcomes go: into the run folder and an index, or (for ``check``) into the index alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.runner.events import Listener

Key = tuple[str, str, str, str]


class Sink(Protocol):
    """Keeps outcomes and samples; a run folder is one."""

    def append(self, outcome: Outcome) -> None:
        """Keep one outcome."""
        ...

    def append_samples(
        self, cell: str, samples_ns: Mapping[str, Sequence[float]], calls_per_sample: Mapping[str, int], half: int = 0
    ) -> None:
        """Keep the raw samples that one process took of one timed cell."""
        ...

    def update_header(self, **values: Any) -> None:
        """Keep facts of the whole run."""
        ...


class NoSink:
    """Keeps nothing; the record's own index is all that a check needs."""

    def append(self, outcome: Outcome) -> None:
        """Ignored."""

    def append_samples(
        self, cell: str, samples_ns: Mapping[str, Sequence[float]], calls_per_sample: Mapping[str, int], half: int = 0
    ) -> None:
        """Ignored."""

    def update_header(self, **values: Any) -> None:
        """Ignored."""


class Record:
    """Outcomes so far, indexed; adding one writes it and tells the listener. One already there is passed over."""

    def __init__(self, sink: Sink, listener: Listener, earlier: Iterable[Outcome] = ()) -> None:
        self.sink, self._listener = sink, listener
        self.outcomes: list[Outcome] = []
        self._keys: set[Key] = set()
        self._judged: dict[tuple[str, str], list[Outcome]] = defaultdict(list)
        for outcome in earlier:
            self._index(outcome)

    def add(self, outcome: Outcome) -> bool:
        """Record ``outcome``; False when its key is there already."""
        if outcome.key in self._keys:
            return False
        self.sink.append(outcome)
        self._index(outcome)
        self._listener.outcome(outcome)
        return True

    def judged(self, cell: str, implementation: str) -> Sequence[Outcome]:
        """The judged outcomes of one cell (variants included) and implementation."""
        return self._judged[(cell, implementation)]

    def has(self, cell: str, implementation: str, kind: str, check: str) -> bool:
        """Whether that outcome is there."""
        return (cell, implementation, kind, check) in self._keys

    def statuses(self) -> list[Status]:
        """Statuses of all outcomes that speak of an answer: judged ones, and timed ones that went wrong."""
        return [o.status for o in self.outcomes if o.kind == JUDGED or o.status is not Status.SKIPPED]

    def _index(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        self._keys.add(outcome.key)
        if outcome.kind == JUDGED:
            self._judged[(outcome.case.cell, outcome.implementation)].append(outcome)
