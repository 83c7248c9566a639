"""What a run learns of the machine beside its cells: ceilings and the self-check, asked of the process that times."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.core.errors import InternalError
from harness.runner.events import Listener
from harness.runner.plan import Plan
from harness.runner.record import Sink
from harness.stats.roofline import best_ceilings
from harness.worker.process import Worker

#: Ceilings and self-check take 2 s; more than this means that something hangs.
TIMEOUT_S = 120.0


class Machine:
    """Ceilings and self-check of each device of a run; kept in the run's header as they come."""

    def __init__(self, plan: Plan, sink: Sink, listener: Listener) -> None:
        self._plan, self._sink, self._listener = plan, sink, listener
        self._ceilings: dict[str, Mapping[str, Any]] = {}
        self._checks: dict[str, Mapping[str, Any]] = {}
        self._asked: set[str] = set()

    def ceilings(self, device: str) -> Mapping[str, Any] | None:
        """What ``device`` can do at most; None where it could not be measured."""
        return self._ceilings.get(device)

    def learn(self, device: str, worker: Worker) -> None:
        """Measure ``device`` unless that was done: ceilings, and whether a planted slowdown is found."""
        if device in self._asked:
            return
        self._asked.add(device)
        self._listener.working(f"ceilings and self-check of {device}")
        self._ask(device, worker, ("ceilings", "selfcheck"))
        self._sink.update_header(ceilings=self._ceilings, selfcheck=self._checks)
        check = self._checks.get(device)
        if check is not None and not check["passed"]:
            self._listener.note(
                f"speed verdicts on {device} are invalid in this run: {check['reason']}; "
                "python -m harness doctor says how to quieten this machine"
            )

    def measure_again(self, device: str, worker: Worker) -> None:
        """Measure the ceilings of ``device`` once more and keep the higher figures: a cell was faster."""
        self._ask(device, worker, ("ceilings",))
        self._sink.update_header(ceilings=self._ceilings)

    def _ask(self, device: str, worker: Worker, tasks: tuple[str, ...]) -> None:
        cases = [case for case in self._plan.timed_cases() if case.device == device]
        job = {
            "job": "machine", "tasks": tasks, "device": device, "threads": self._plan.settings.threads,
            "cache_bytes": self._plan.settings.cache_bytes, "dtypes": sorted({case.dtype for case in cases}),
            "matrices": any(case.features for case in cases),
        }  # fmt: skip
        for message in worker.request(job, timeout_s=TIMEOUT_S):
            if "internal" in message:
                raise InternalError(f"while measuring the machine: {message['internal']}", message["traceback"])
            if "ceilings" in message:
                earlier = self._ceilings.get(device)
                found = message["ceilings"]
                self._ceilings[device] = found if earlier is None else best_ceilings(found, earlier)
            if "selfcheck" in message:
                self._checks[device] = message["selfcheck"]
