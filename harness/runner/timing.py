"""Drive the timing of cells: one fresh worker holds all rivals; a culprit is charged, and the others are timed again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.core.case import INTERPRETER, Case, case_to_dict
from harness.core.errors import InternalError
from harness.core.implementation import Implementation, implementation_to_dict
from harness.core.outcome import TIMED, Outcome
from harness.core.status import Status, worst
from harness.runner.events import Listener
from harness.runner.judging import admitted
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.worker.process import Worker, WorkerLostError, Workers

CHECK = "timing"


@dataclass(slots=True)
class _Heard:
    """What the worker has said of one cell so far."""

    samples: Mapping[str, list[int]] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    arms: dict[str, Mapping[str, Any]] = field(default_factory=dict)


class Timer:
    """Times cells one after the other in one process."""

    def __init__(self, plan: Plan, workers: Workers, record: Record, listener: Listener) -> None:
        self._plan, self._workers, self._record, self._listener = plan, workers, record, listener
        self._worker: Worker | None = None
        handle, mark = tempfile.mkstemp(prefix="harness-mark-")
        os.write(handle, b"\0")
        os.close(handle)
        self._mark = Path(mark)

    def close(self) -> None:
        """End the worker."""
        self._end_worker()
        self._mark.unlink(missing_ok=True)

    def settle(self) -> None:
        """Timed outcomes of the cells on the interpreter: judged only."""
        if self._plan.settings.timing is None:
            return
        for case in self._plan.cases:
            for implementation in self._plan.implementations:
                if case.device == INTERPRETER and self._plan.settled(implementation, case) is None:
                    self._say(case, implementation, Status.SKIPPED, "judged only: the interpreter's time says nothing")

    def time(self, case: Case) -> None:
        """Every implementation gets its timed outcome in ``case``."""
        rivals = self._rivals(case)
        if rivals and self._plan.baseline not in rivals:
            for rival in rivals:
                reason = (
                    f"not timed: the baseline {self._plan.baseline.name} has no right answer here to be compared with"
                )
                self._say(case, rival, Status.SKIPPED, reason)
            rivals = []
        self._listener.working(f"timing {case.cell}")
        while rivals:
            try:
                self._ask(case, rivals)
                break
            except WorkerLostError as lost:
                culprit = self._culprit(lost, rivals)
                self._end_worker()
                self._say(case, culprit, lost.status, lost.reason)
                rivals = [rival for rival in rivals if rival is not culprit]
                if self._plan.baseline not in rivals:
                    for rival in rivals:
                        self._say(case, rival, Status.SKIPPED, "not timed: the baseline was lost while it was timed")
                    rivals = []
        self._listener.advanced(TIMED)

    def _rivals(self, case: Case) -> list[Implementation]:
        """Implementations to be timed together; the others' timed outcomes are said at once."""
        rivals: list[Implementation] = []
        for implementation in self._plan.implementations:
            if self._record.has(case.cell, implementation.name, TIMED, CHECK):
                continue
            judged = self._record.judged(case.cell, implementation.name)
            settled = self._plan.settled(implementation, case)
            if settled is not None:
                self._say(case, implementation, settled[0], settled[1])
            elif admitted(judged):
                rivals.append(implementation)
            else:
                found = worst(o.status for o in judged) if judged else Status.SKIPPED
                status = found if found in (Status.UNSUPPORTED, Status.UNAVAILABLE) else Status.SKIPPED
                self._say(
                    case,
                    implementation,
                    status,
                    f"not timed: its answer here is {found.value if judged else 'not judged'}",
                )
        if rivals and self._plan.baseline not in rivals and self._was_timed(case):
            rivals.insert(0, self._plan.baseline)
        return rivals

    def _was_timed(self, case: Case) -> bool:
        """Whether the baseline has its own figure already (a resumed run): it then runs again as the reference only."""
        return self._record.has(case.cell, self._plan.baseline.name, TIMED, CHECK) and admitted(
            self._record.judged(case.cell, self._plan.baseline.name)
        )

    def _ask(self, case: Case, rivals: Sequence[Implementation]) -> None:
        timing, settings = self._plan.settings.timing, self._plan.settings
        assert timing is not None
        job = {
            "job": "time",
            "case": case_to_dict(case),
            "implementations": [implementation_to_dict(rival) for rival in rivals],
            "baseline": self._plan.baseline.name,
            "threads": settings.threads,
            "cache_bytes": settings.cache_bytes,
            "mark": str(self._mark),
            **timing,
        }
        if self._worker is None:
            self._worker = self._workers.start(environment={}, fresh=True)
        heard = _Heard()
        for message in self._worker.request(job, timeout_s=settings.seconds_per_call + timing["max_seconds"]):
            self._hear(message, heard)
        self._tell(case, rivals, heard)

    def _hear(self, message: Mapping[str, Any], heard: _Heard) -> None:
        if "internal" in message:
            raise InternalError(f"while timing: {message['internal']}", message["traceback"])
        if "samples" in message:
            heard.samples, heard.calls = message["samples"], message["calls"]
        elif "arm" in message:
            heard.arms[message["arm"]] = message

    def _tell(self, case: Case, rivals: Sequence[Implementation], heard: _Heard) -> None:
        """Samples first, then outcomes: a kill in between loses this cell only."""
        if heard.samples:
            self._record.sink.append_samples(case.cell, heard.samples, heard.calls)
        for rival in rivals:
            message = heard.arms.get(rival.name)
            if message is None:
                self._say(
                    case,
                    rival,
                    Status.SKIPPED,
                    f"not timed: the baseline {self._plan.baseline.name} could not be timed",
                )
            elif "metrics" in message:
                metrics = {**message["metrics"], **self._judged_figures(case, rival)}
                self._say(case, rival, Status.PASSED, "", metrics)
            else:
                self._say(case, rival, Status(message["status"]), message["reason"], traceback=message.get("traceback"))

    def _judged_figures(self, case: Case, rival: Implementation) -> dict[str, Any]:
        """Memory and first call were measured where the implementation was alone: while it was judged."""
        figures: dict[str, Any] = {}
        for outcome in self._record.judged(case.cell, rival.name):
            for name in ("peak_bytes", "saved_bytes", "first_call_ns"):
                if outcome.metrics.get(name) is not None:
                    figures[name] = outcome.metrics[name]
        return figures

    def _culprit(self, lost: WorkerLostError, rivals: Sequence[Implementation]) -> Implementation:
        named = next((rival for rival in rivals if rival.name == lost.culprit), None)
        if named is not None:
            return named
        # inside the sampler the arm under way is in shared memory
        index = self._mark.read_bytes()[0]
        return rivals[min(index, len(rivals) - 1)]

    def _say(
        self, case: Case, implementation: Implementation, status: Status, reason: str,
        metrics: Mapping[str, Any] | None = None, traceback: str | None = None,
    ) -> None:  # fmt: skip
        self._record.add(
            Outcome(
                case=case,
                implementation=implementation.name,
                kind=TIMED,
                check=CHECK,
                status=status,
                reason=reason,
                metrics=metrics or {},
                traceback=traceback,
            )  # fmt: skip
        )

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
