"""Fakes of the harness's effects: workers that answer from a script, a clock of its own, a recording listener."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harness.core.case import Case, case_from_dict
from harness.core.outcome import JUDGED, Outcome, outcome_to_dict
from harness.core.status import Status
from harness.runner.events import Silent
from harness.worker.process import WorkerLostError

#: (implementation, case) → status of all its checks, or an exception to raise.
Script = Callable[[str, Case], Status | WorkerLostError]


class FakeWorkers:
    """Starts fake workers and counts them; ``script`` decides every verdict, ``timed`` the seconds of one sample."""

    def __init__(self, script: Script = lambda name, case: Status.PASSED) -> None:
        self.script = script
        self.started: list[Mapping[str, str]] = []
        self.closed = 0
        self.jobs: list[tuple[str, str, str]] = []

    def start(
        self, *, environment: Mapping[str, str], memory_bytes: int | None = None, fresh: bool = False
    ) -> FakeWorker:
        self.started.append({**environment, "fresh": str(fresh)})
        return FakeWorker(self)


class FakeWorker:
    """Answers judge and time jobs without running anything."""

    def __init__(self, workers: FakeWorkers) -> None:
        self._workers = workers

    def request(self, job: Mapping[str, Any], *, timeout_s: float) -> Iterator[dict[str, Any]]:
        if job["job"] == "judge":
            yield from self._judge(job)
        elif job["job"] == "time":
            yield from self._time(job)

    def close(self) -> None:
        self._workers.closed += 1

    def _judge(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        name = job["implementation"]["name"]
        for values in job["cases"]:
            case = case_from_dict(values)
            self._workers.jobs.append(("judge", name, case.cell))
            status = self._workers.script(name, case)
            if isinstance(status, WorkerLostError):
                raise status
            for check in job["checks"][case.cell]:
                reason = "" if status is Status.PASSED else "as the script says"
                metrics = {"peak_bytes": 1000, "first_call_ns": 5}
                outcome = Outcome(
                    case=case,
                    implementation=name,
                    kind=JUDGED,
                    check=check,
                    status=status,
                    reason=reason,
                    metrics=metrics,
                )
                yield {"outcome": outcome_to_dict(outcome)}

    def _time(self, job: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        case = case_from_dict(job["case"])
        names = [values["name"] for values in job["implementations"]]
        for name in names:
            self._workers.jobs.append(("time", name, case.cell))
            status = self._workers.script(f"timed {name}", case)
            if isinstance(status, WorkerLostError):
                raise status
        shared = {"cache": "cold", "cache_reason": "", "threads": 1, "converged": True}
        samples = {name: [100, 101, 102] for name in names}
        yield {"samples": samples, "calls": dict.fromkeys(names, 1), "rounds": 3, "shared": shared, "arms": {}}


class FakeClock:
    """A clock that each reading moves on by ``step_ns``."""

    def __init__(self, step_ns: int = 0) -> None:
        self.now, self.step_ns = 0, step_ns

    def __call__(self) -> int:
        self.now += self.step_ns
        return self.now


class Recorded(Silent):
    """A listener that keeps what it was told."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.finished: list[str] = []
        self.notes: list[str] = []

    def outcome(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def advanced(self, kind: str) -> None:
        self.finished.append(kind)

    def note(self, text: str) -> None:
        self.notes.append(text)
