"""Drive the judging of one implementation: a worker of its own, replaced when it is lost, at the cost of one cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from harness.checks.catalogue import DISRUPTIVE
from harness.core.case import INTERPRETER, Case, case_to_dict
from harness.core.errors import InternalError
from harness.core.implementation import Implementation, implementation_to_dict
from harness.core.outcome import JUDGED, Outcome, outcome_from_dict
from harness.core.status import ADMITTED, FAULTS, Status
from harness.registry.support import device_kind
from harness.runner.events import Listener
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.worker.metrics import reproduce_command
from harness.worker.process import Worker, WorkerLostError, Workers

#: After this many cells that hung, the implementation's other cells are not waited for.
MAX_TIMEOUTS = 3


class Judge:
    """Judges implementations one after the other; what is in the record already is not asked again."""

    def __init__(
        self, plan: Plan, workers: Workers, record: Record, listener: Listener,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._plan, self._workers, self._record, self._listener = plan, workers, record, listener
        self._environment = environment
        self._worker: Worker | None = None
        self._worker_kind = ""

    def judge(self, implementation: Implementation) -> None:
        """Every cell of ``implementation`` gets its outcomes."""
        self._settle(implementation)
        timeouts = 0
        groups = self._plan.groups(implementation)
        try:
            for index, group in enumerate(groups):
                missing = tuple(case for case in group if self._missing(case, implementation))
                if missing:
                    self._listener.working(f"judging {implementation.name} on {missing[0].inputs_key}")
                    lost = self._group(implementation, missing)
                    timeouts += sum(loss.status is Status.TIMED_OUT for loss in lost)
                    if any(loss.stage.startswith("import") for loss in lost) or timeouts >= MAX_TIMEOUTS:
                        self._give_up(implementation, groups[index + 1 :], lost[-1], timeouts)
                        return
                self._listener.advanced(JUDGED)
                if self._damaging(group) and not (
                    index + 1 < len(groups) and self._may_share(group, groups[index + 1])
                ):
                    self._end_worker()
                if self._plan.settings.fail_fast and self._has_fault(implementation, group):
                    return
        finally:
            self._end_worker()

    def _group(self, implementation: Implementation, cases: tuple[Case, ...]) -> list[WorkerLostError]:
        """Judge the cells of one set of inputs; those a lost worker leaves over are asked again without the culprit."""
        losses: list[WorkerLostError] = []
        left = cases
        while left:
            try:
                self._ask(implementation, left)
                self._account(implementation, left)
                return losses
            except WorkerLostError as lost:
                losses.append(lost)
                self._end_worker()
                blamed = [case for case in left if case.cell == lost.cell] or list(left)
                for case in blamed:
                    self._charge(implementation, case, lost.status, lost.reason)
                left = tuple(case for case in left if case not in blamed and self._missing(case, implementation))
        return losses

    def _ask(self, implementation: Implementation, cases: Sequence[Case]) -> None:
        settings, reference = self._plan.settings, self._plan.torch.get(cases[0].loss)
        job = {
            "job": "judge",
            "implementation": implementation_to_dict(implementation),
            "cases": [case_to_dict(case) for case in cases],
            "checks": {case.cell: list(self._plan.checks_for(case)) for case in cases},
            "grade": settings.grade,
            "threads": settings.threads,
            "measure_memory": settings.timing is not None and cases[0].device != INTERPRETER,
            "torch": implementation_to_dict(reference) if reference else None,
        }
        for message in self._worker_for(cases[0]).request(job, timeout_s=settings.seconds_per_call):
            if "outcome" in message:
                self._record.add(_checked(message["outcome"], implementation, cases))
            elif "internal" in message:
                raise InternalError(f"judging {cases[0].cell}: {message['internal']}", message["traceback"])

    def _worker_for(self, case: Case) -> Worker:
        """The worker for the case's device: an interpreter's never serves another device."""
        kind = device_kind(case.device)
        if self._worker is None or self._worker_kind != kind:
            self._end_worker()
            environment = {**self._environment, **({"TRITON_INTERPRET": "1"} if kind == INTERPRETER else {})}
            memory = None if kind == "cuda" else self._plan.settings.memory_bytes
            self._worker, self._worker_kind = self._workers.start(environment=environment, memory_bytes=memory), kind
        return self._worker

    def _end_worker(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def _missing(self, case: Case, implementation: Implementation) -> bool:
        return any(
            not self._record.has(case.cell, implementation.name, JUDGED, check) for check in self._plan.checks_for(case)
        )

    def _has_fault(self, implementation: Implementation, cases: Sequence[Case]) -> bool:
        return any(o.status in FAULTS for case in cases for o in self._record.judged(case.cell, implementation.name))

    def _damaging(self, cases: Sequence[Case]) -> bool:
        """Whether a process in which ``cases`` were judged must not judge others."""
        return any(DISRUPTIVE.intersection(self._plan.checks_for(case)) for case in cases)

    def _may_share(self, cases: Sequence[Case], following: Sequence[Case]) -> bool:
        """Cells that damage may follow one another, but for a CUDA context, which the first of them may end."""
        return self._damaging(following) and device_kind(cases[0].device) != "cuda"

    def _settle(self, implementation: Implementation) -> None:
        """Outcomes of the cells that need not run."""
        for case in self._plan.questions:
            if not self._plan.concerns(implementation, case):
                continue
            settled = self._plan.settled(implementation, case)
            if settled is not None:
                status, reason, traceback = settled
                self._charge(implementation, case, status, reason, traceback)

    def _account(self, implementation: Implementation, cases: Sequence[Case]) -> None:
        """A check that ended without a word on a cell is told so: nothing vanishes."""
        for case in cases:
            if self._missing(case, implementation):
                self._charge(implementation, case, Status.CRASHED, "the worker gave no verdict")

    def _charge(
        self, implementation: Implementation, case: Case, status: Status, reason: str, traceback: str | None = None
    ) -> None:
        """Give ``status`` to every check of the cell that has no outcome yet."""
        for check in self._plan.checks_for(case):
            declared = implementation.declared(check, case) if status in FAULTS else None
            metrics: dict[str, Any] = {"seed": case.seed}
            if status in FAULTS:
                metrics["reproduce"] = reproduce_command(implementation, case, self._plan.settings.grade, check)
            self._record.add(
                Outcome(
                    case=case,
                    implementation=implementation.name,
                    kind=JUDGED,
                    check=check,
                    traceback=traceback,
                    metrics=metrics,
                    status=status if declared is None else Status.DECLARED,
                    reason=reason if declared is None else f"{declared.reason} ({declared.text}; {reason})",
                )
            )

    def _give_up(
        self, implementation: Implementation, groups: Sequence[Sequence[Case]], lost: WorkerLostError, timeouts: int
    ) -> None:
        """The cells left over when there is no point in asking on."""
        for case in (case for group in groups for case in group):
            if timeouts >= MAX_TIMEOUTS:
                reason = f"not asked: {timeouts} cells had timed out before (limits: seconds_per_call in the suite)"
                self._charge(implementation, case, Status.SKIPPED, reason)
            else:
                self._charge(implementation, case, lost.status, lost.reason)
        for _ in groups:
            self._listener.advanced(JUDGED)
        self._listener.advanced(JUDGED)


def _checked(line: dict[str, Any], implementation: Implementation, cases: Sequence[Case]) -> Outcome:
    """The outcome of a worker's message, held to what was asked: a plugin cannot speak for others."""
    outcome = outcome_from_dict(line)
    case = next((case for case in cases if case.cell == outcome.case.cell), None)
    if case is None:
        raise WorkerLostError(
            Status.CRASHED, f"the worker spoke of a cell it was not asked for: {outcome.cell}", "verdict"
        )
    return replace(outcome, case=case, implementation=implementation.name, kind=JUDGED)


def admitted(outcomes: Sequence[Outcome]) -> bool:
    """Whether a cell's verdicts let its speed be shown: every one passed or differs only as declared."""
    speaking = [o for o in outcomes if o.status is not Status.SKIPPED]
    return bool(speaking) and all(outcome.status in ADMITTED for outcome in speaking)
