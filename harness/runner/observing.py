"""The semantics matrix: what each implementation does where implementations differ, asked of a worker of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.case import INTERPRETER, Case, case_to_dict
from harness.core.implementation import Implementation, implementation_to_dict
from harness.core.status import Status
from harness.runner.events import Listener
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.worker.process import Worker, WorkerLostError, Workers

#: In the order of ``harness.worker.observe.OBSERVERS``, which needs torch; a test holds the two together.
QUESTIONS = (
    "all rows ignored, mean", "no rows, mean", "a row of -inf", "int32 targets", "uint8 targets",
    "probability targets", "loss of bfloat16 logits", "changes the logits", "same bits again", "double backward",
    "target C", "target -1",
)  # fmt: skip
#: The loss whose questions these are.
LOSS = "cross_entropy"
#: Longest wait for one answer; a first call may compile.
TIMEOUT_S = 60.0
#: A run of fewer cells, such as the smoke suite's, is not made twice as long by it.
LEAST_CELLS = 20
_LOST = {Status.TIMED_OUT: "hangs", Status.CRASHED: "ends the process", Status.OUT_OF_MEMORY: "runs out of memory"}

#: Implementation → device → question → what was seen.
Matrix = dict[str, dict[str, dict[str, str]]]


def observe_all(plan: Plan, workers: Workers, record: Record, listener: Listener, known: Mapping[str, Any]) -> None:
    """Ask every implementation that can run here, once for each device, and keep the matrix in the run's header.

    ``known`` is the matrix of an earlier part of the run. Nothing here is a verdict, and nothing that goes wrong with
    one question costs another.
    """
    if len(plan.cases) < LEAST_CELLS:
        return
    matrix: Matrix = {name: dict(devices) for name, devices in known.items()}
    for implementation in plan.implementations:
        for device, case in _anchors(plan, implementation).items():
            if device in matrix.get(implementation.name, {}):
                continue
            listener.working(f"semantics of {implementation.name} on {device}")
            seen = _observed(plan, workers, implementation, case)
            matrix.setdefault(implementation.name, {})[device] = seen
            record.sink.update_header(semantics=matrix)


def _anchors(plan: Plan, implementation: Implementation) -> dict[str, Case]:
    """A small cell for each device on which ``implementation`` can be asked anything."""
    found: dict[str, Case] = {}
    for case in plan.cases:
        if case.loss == LOSS and case.device not in found:
            small = Case(loss=LOSS, batch=6, classes=11, device=case.device)
            if plan.settled(implementation, small) is None:
                found[case.device] = small
    return found


def _observed(plan: Plan, workers: Workers, implementation: Implementation, case: Case) -> dict[str, str]:
    seen: dict[str, str] = {}
    while len(seen) < len(QUESTIONS):
        left = [question for question in QUESTIONS if question not in seen]
        worker = workers.start(
            environment={"TRITON_INTERPRET": "1"} if case.device == INTERPRETER else {},
            memory_bytes=None if case.device.startswith("cuda") else plan.settings.memory_bytes,
        )
        try:
            seen.update(_ask(plan, worker, implementation, case, left))
            # a worker that ends without a word on a question must not be asked for ever
            seen.update({question: "no answer" for question in left if question not in seen})
        except _LostError as lost:
            seen.update(lost.seen)
            culprit = lost.question if lost.question in left else left[len(lost.seen)]
            seen[culprit] = lost.how
        finally:
            worker.close()
    return {question: seen[question] for question in QUESTIONS}


class _LostError(Exception):
    """A worker was lost over ``question``; ``seen`` is what it had told."""

    def __init__(self, seen: dict[str, str], question: str, how: str) -> None:
        super().__init__(how)
        self.seen, self.question, self.how = seen, question, how


def _ask(
    plan: Plan, worker: Worker, implementation: Implementation, case: Case, questions: Sequence[str]
) -> dict[str, str]:
    job = {
        "job": "observe", "implementation": implementation_to_dict(implementation), "case": case_to_dict(case),
        "questions": list(questions), "threads": plan.settings.threads,
    }  # fmt: skip
    seen: dict[str, str] = {}
    try:
        for message in worker.request(job, timeout_s=min(TIMEOUT_S, plan.settings.seconds_per_call)):
            seen.update({str(question): str(text)[:80] for question, text in message.get("observed", {}).items()})
    except WorkerLostError as lost:
        raise _LostError(seen, lost.cell, _LOST.get(lost.status, lost.status.value)) from None
    return seen
