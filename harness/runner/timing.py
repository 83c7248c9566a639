"""Drive the timing of cells: two fresh workers hold all rivals; a culprit is charged, the others timed again."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.case import INTERPRETER, Case
from harness.core.errors import InternalError
from harness.core.implementation import Implementation
from harness.core.outcome import TIMED, Outcome
from harness.core.status import Status, worst
from harness.runner.events import Listener
from harness.runner.figures import Asked, Half, timed_figures, too_fast, with_memory, without_speed
from harness.runner.first_calls import first_call_lines
from harness.runner.half_job import HALVES, half_job, held_checks
from harness.runner.judging import admitted
from harness.runner.machine import Machine
from harness.runner.parts import Parts
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.worker.process import Worker, WorkerLostError, Workers

CHECK = "timing"
#: Figures of a judged outcome that belong to its timing: they were taken where the implementation was alone.
JUDGED_FIGURES = ("peak_bytes", "saved_bytes", "first_call_ns", "import_ns", "gradient_in_forward")
#: Passes that mean less where the gradient was made in the forward.
SPLIT_PASSES = ("forward", "backward")


class Timer:
    """Times cells one after the other, each in two processes that share its seconds and never run at once."""

    def __init__(
        self, plan: Plan, workers: Workers, record: Record, listener: Listener,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._plan, self._workers, self._record, self._listener = plan, workers, record, listener
        self._environment = environment
        self._slots: list[Worker] = []
        self._machine = Machine(plan, record.sink, listener)
        self._parts = Parts()
        handle, mark = tempfile.mkstemp(prefix="harness-mark-")
        os.write(handle, b"\0")
        os.close(handle)
        self._mark = Path(mark)

    def close(self) -> None:
        """End the workers."""
        self._end_workers()
        self._mark.unlink(missing_ok=True)

    def account(self, judging_seconds: float, observing_seconds: float = 0.0) -> None:
        """Say where the time of the run went, and keep it in the header."""
        if self._parts.cells:
            spent = (judging_seconds, observing_seconds)
            self._record.sink.update_header(time_parts=self._parts.shares(*spent))
            for line in (*first_call_lines(self._record.outcomes), self._parts.line(*spent)):
                self._listener.note(line)

    def settle(self) -> None:
        """Timed outcomes of the cells on the interpreter: judged only."""
        if self._plan.settings.timing is None:
            return
        for case in self._plan.cases:
            for implementation in self._of(case):
                if case.device == INTERPRETER and self._plan.settled(implementation, case) is None:
                    self._say(case, implementation, Status.SKIPPED, "judged only: the interpreter's time says nothing")

    def time(self, case: Case) -> None:
        """Every implementation gets its timed outcome in ``case``."""
        started = time.monotonic()
        rivals = self._rivals(case)
        if rivals and self._plan.baseline(case) not in rivals:
            reason = (
                f"not timed: the baseline {self._plan.baseline(case).name} has no right answer here to be compared with"
            )
            self._skip(case, rivals, reason)
            rivals = []
        self._listener.working(f"timing {case.cell}")
        while rivals:
            try:
                self._tell(case, rivals, self._ask(case, rivals))
                break
            except WorkerLostError as lost:
                culprit = self._culprit(lost, rivals)
                self._end_workers()
                self._say(case, culprit, lost.status, lost.reason)
                rivals = [rival for rival in rivals if rival is not culprit]
                if self._plan.baseline(case) not in rivals:
                    self._skip(case, rivals, "not timed: the baseline was lost while it was timed")
                    rivals = []
        self._parts.add_wall(time.monotonic() - started)
        self._listener.advanced(TIMED)

    def _rivals(self, case: Case) -> list[Implementation]:
        """Implementations to be timed together; the others' timed outcomes are said at once."""
        rivals: list[Implementation] = []
        for implementation in self._of(case):
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
        if rivals and self._plan.baseline(case) not in rivals and self._was_timed(case):
            rivals.insert(0, self._plan.baseline(case))
        return rivals

    def _of(self, case: Case) -> list[Implementation]:
        return [one for one in self._plan.implementations if self._plan.concerns(one, case)]

    def _was_timed(self, case: Case) -> bool:
        """Whether the baseline has its own figure already (a resumed run): it then runs again as the reference only."""
        return self._record.has(case.cell, self._plan.baseline(case).name, TIMED, CHECK) and admitted(
            self._record.judged(case.cell, self._plan.baseline(case).name)
        )

    def _ask(self, case: Case, rivals: Sequence[Implementation]) -> list[Half]:
        """Sample ``case`` in each process in turn; who was refused in the first is not asked in the second."""
        halves: list[Half] = []
        self._start(case.device)
        for index, worker in enumerate(self._slots):
            refused = {name for half in halves for name in half.refused}
            asked = [rival for rival in rivals if rival.name not in refused]
            if halves and (len(asked) < 2 <= len(rivals) or self._plan.baseline(case) not in asked):
                break  # nobody is left to be compared with the baseline
            half = Half()
            timing = self._plan.settings.timing or {}
            timeout = self._plan.settings.seconds_per_call + 2 * timing["max_seconds"]  # overtime included
            held = {
                one.name: held_checks(self._plan, case, one, self._record.judged(case.cell, one.name)) for one in asked
            }
            job = half_job(self._plan, case, asked, index, halves, self._mark, held)
            for message in worker.request(job, timeout_s=timeout):
                if "internal" in message:
                    raise InternalError(f"while timing: {message['internal']}", message["traceback"])
                half.hear(message)
            self._parts.add_half(half)
            halves.append(half)
        return halves

    def _start(self, device: str) -> None:
        """Start both processes together, so that neither loads torch beside the other's samples."""
        if not self._slots:
            started = time.monotonic()
            self._slots = [self._workers.start(environment=self._environment, fresh=True) for _ in range(HALVES)]
            job = {
                "job": "machine",
                "tasks": [],
                "device": device,
                "threads": self._plan.settings.threads,
                "cache_bytes": 0,
            }
            with ThreadPoolExecutor(HALVES) as both:
                list(both.map(self._wake, self._slots, [job] * HALVES))
            self._parts.starting += time.monotonic() - started
        started = time.monotonic()
        self._machine.learn(device, self._slots[0])
        self._parts.machine += time.monotonic() - started

    def _wake(self, worker: Worker, job: Mapping[str, Any]) -> None:
        for _ in worker.request(job, timeout_s=self._plan.settings.seconds_per_call):
            pass

    def _tell(self, case: Case, rivals: Sequence[Implementation], halves: Sequence[Half]) -> None:
        """Samples first, then outcomes: a kill in between loses this cell only."""
        for index, half in enumerate(halves):
            if half.samples:
                self._record.sink.append_samples(case.cell, half.samples, half.calls, index)
        reasons = self._refused(case, rivals, halves)
        base = self._plan.baseline(case).name
        for rival in rivals:
            if rival.name in reasons:
                status, reason, traceback = reasons[rival.name]
                self._say(case, rival, status, reason, traceback=traceback)
            elif base in reasons:
                self._say(case, rival, Status.SKIPPED, f"not timed: the baseline {base} could not be timed")
            else:
                figures = timed_figures(rival.name, self._whole(case, rival, halves), self._asked(case))
                figures = with_memory(figures, self._judged_figures(case, rival))
                if rival.name != base and not self._comparable(case, rival):
                    figures = without_speed(figures)
                self._say(case, rival, Status.PASSED, "", figures)

    def _refused(
        self, case: Case, rivals: Sequence[Implementation], halves: Sequence[Half]
    ) -> dict[str, tuple[Status, str, str | None]]:
        """Who gets no figure: raised, refused by the process that timed it, or faster than this device can be."""
        found: dict[str, tuple[Status, str, str | None]] = {}
        for half in halves:
            for name, message in half.refused.items():
                found.setdefault(name, (Status(message["status"]), message["reason"], message.get("traceback")))
        for rival in sorted(rivals, key=lambda one: one is not self._plan.baseline(case)):
            if rival.name in found:
                continue
            if self._plan.baseline(case).name in found:
                break  # then nobody has anything to be compared with
            if not self._whole(case, rival, halves):
                found[rival.name] = (Status.SKIPPED, "not timed: no round could be kept", None)
            elif (reason := self._too_fast(case, rival, halves)) is not None:
                found[rival.name] = (Status.FAILED, reason, None)
        return found

    def _too_fast(self, case: Case, rival: Implementation, halves: Sequence[Half]) -> str | None:
        """Why its time cannot be; the ceilings are measured again, three times, before anyone is accused."""
        reason = None
        for again in range(4):
            if again:
                self._machine.measure_again(case.device, self._slots[0])
            whole, asked = self._whole(case, rival, halves), self._asked(case)
            reason = too_fast(timed_figures(rival.name, whole, asked), whole, asked)
            if reason is None:
                return None
        return reason

    def _whole(self, case: Case, rival: Implementation, halves: Sequence[Half]) -> list[Half]:
        """The halves in which ``rival`` and the baseline were sampled."""
        return [
            half for half in halves if half.samples.get(rival.name) and half.samples.get(self._plan.baseline(case).name)
        ]

    def _asked(self, case: Case) -> Asked:
        timing = self._plan.settings.timing or {}
        return Asked(
            case=case, baseline=self._plan.baseline(case).name, cost=self._plan.families[case.loss].cost(case),
            confidence=timing["confidence"], target_relative_width=timing["target_relative_width"],
            ceilings=self._machine.ceilings(case.device),
        )  # fmt: skip

    def _comparable(self, case: Case, rival: Implementation) -> bool:
        """Whether the pass means the same work for ``rival`` and the baseline."""
        if case.pass_ not in SPLIT_PASSES:
            return True
        mine, base = (
            self._judged_figures(case, one).get("gradient_in_forward") for one in (rival, self._plan.baseline(case))
        )
        return bool(mine) == bool(base)

    def _judged_figures(self, case: Case, rival: Implementation) -> dict[str, Any]:
        """Memory and first call were measured where the implementation was alone: while it was judged."""
        figures: dict[str, Any] = {}
        for outcome in self._record.judged(case.cell, rival.name):
            for name in JUDGED_FIGURES:
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
            )
        )

    def _skip(self, case: Case, implementations: Sequence[Implementation], reason: str) -> None:
        for implementation in implementations:
            self._say(case, implementation, Status.SKIPPED, reason)

    def _end_workers(self) -> None:
        for worker in self._slots:
            worker.close()
        self._slots = []
