"""Workers that serve one item after the other, and start without importing the test runner."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from harness.worker.process import Worker, Workers


class LeanWorkers:
    """Workers whose processes do not run the main module of this one again.

    multiprocessing would have each child import what pytest was started from: 0.3 s each, and a script of the user's
    that calls ``pytest.main()`` without a guard would start the tests anew in every worker.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def start(self, *, environment: Mapping[str, str], memory_bytes: int | None = None, fresh: bool = False) -> Worker:
        """Start a worker."""
        with _no_main_module():
            return self._workers.start(environment=environment, memory_bytes=memory_bytes, fresh=fresh)


class KeptWorkers:
    """Keeps a closed worker for the next start of the same kind; at most one, and none that was lost.

    The runner's judge ends its worker with the cells that it was given. Under pytest those are the cells of one item,
    and a worker of its own for each would import the implementation for each.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._idle: tuple[tuple[Any, ...], Worker] | None = None

    def start(self, *, environment: Mapping[str, str], memory_bytes: int | None = None, fresh: bool = False) -> Worker:
        """The kept worker where it is of this kind, else a new one."""
        key = (tuple(sorted(environment.items())), memory_bytes, fresh)
        if self._idle is not None and self._idle[0] == key:
            worker, self._idle = self._idle[1], None
        else:
            self.end()
            worker = self._workers.start(environment=environment, memory_bytes=memory_bytes, fresh=fresh)
        return _Lent(self, key, worker)

    def take_back(self, key: tuple[Any, ...], worker: Worker) -> None:
        """Keep ``worker`` for the next start."""
        self.end()
        self._idle = (key, worker)

    def end(self) -> None:
        """End the worker that is kept, if any."""
        if self._idle is not None:
            self._idle[1].close()
            self._idle = None


class _Lent:
    """A worker of :class:`KeptWorkers`: closing it gives it back, unless it was lost or left in the middle of a job."""

    def __init__(self, owner: KeptWorkers, key: tuple[Any, ...], worker: Worker) -> None:
        self._owner, self._key, self._worker = owner, key, worker
        self._whole = True

    def request(self, job: Mapping[str, Any], *, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Do ``job``, yielding messages."""
        self._whole = False
        yield from self._worker.request(job, timeout_s=timeout_s)
        self._whole = True

    def close(self) -> None:
        """Give the worker back, or end it."""
        if self._whole:
            self._owner.take_back(self._key, self._worker)
        else:
            self._worker.close()


@contextmanager
def _no_main_module() -> Iterator[None]:
    kept = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = kept
