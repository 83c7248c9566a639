"""Search for a failing cell: draw, judge in a worker that is kept, and shrink what fails until the time is up."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import Flaky, NoSuchExample, Unsatisfiable

from harness.checks.catalogue import DISRUPTIVE
from harness.core.case import INTERPRETER, Case, case_to_dict
from harness.core.errors import InternalError
from harness.core.implementation import Implementation, implementation_to_dict
from harness.core.outcome import Outcome, outcome_from_dict
from harness.core.status import FAULTS
from harness.hardware.host import usable_cores
from harness.runner.plan import Plan
from harness.search.draw import CELLS, Question, meaningless, own_questions, plain_questions, simplicity
from harness.suite.model import CELL_CHECKS
from harness.worker.metrics import reproduce_command
from harness.worker.process import Worker, WorkerLostError, Workers

#: The share of the time in which plain cells alone are drawn: they make the simplest finding.
_PLAIN_SHARE = 0.4
#: Examples that Hypothesis may draw; the time is up long before.
_MOST_EXAMPLES = 1 << 20


class _TimeUp(KeyboardInterrupt):
    """Ends a search from inside: Hypothesis takes any ordinary exception for a finding."""


@dataclass(slots=True)
class Hunt:
    """One search: ``tried`` cells judged, and the simplest failure seen so far with its outcome."""

    plan: Plan
    implementation: Implementation
    workers: Workers
    until: float
    told: Callable[[str], None]
    tried: int = 0
    found: tuple[Case, Outcome] | None = None
    _simplest: tuple[int, ...] = ()
    _broken: InternalError | None = None
    _worker: Worker | None = None
    _known: dict[Question, Outcome | None] = field(default_factory=dict)

    def run(self, device: str, seed: int) -> None:
        """Search until the time is up, or until what was found cannot be made simpler.

        Raises:
            InternalError: a worker said that the harness itself failed.
        """
        family = self.plan.families[self.implementation.loss]
        began, end = time.monotonic(), self.until
        try:
            self.until = began + _PLAIN_SHARE * (end - began)
            self._find(plain_questions(family, device), seed)
            self.until = end
            if self.found is None:
                self._find(own_questions(family, device), seed)
        finally:
            self._end()
        if self._broken is not None:
            raise self._broken

    def _find(self, strategy: st.SearchStrategy[Question], seed: int) -> None:
        """Let Hypothesis draw, and shrink what fails, until the time is up or it has nothing simpler to try."""
        profile = settings(
            max_examples=_MOST_EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )  # fmt: skip
        # what was found is kept as it is found; answers that come and go are a finding as well
        with suppress(_TimeUp, NoSuchExample, Unsatisfiable, Flaky):
            find(strategy, self._fails, settings=profile, random=Random(seed))

    def _fails(self, drawn: Question) -> bool:
        if self._broken is not None or time.monotonic() >= self.until:
            raise _TimeUp
        case, question = drawn
        if meaningless(self.plan.families[case.loss], case) or self.plan.settled(self.implementation, case) is not None:
            return False
        if drawn not in self._known:
            try:
                self._known[drawn] = self._judged(case, question)
            except InternalError as error:
                self._broken = error
                raise _TimeUp from error
        outcome = self._known[drawn]
        if outcome is None:
            return False
        if self.found is None or simplicity(case, question) < self._simplest:
            self.found, self._simplest = (case, outcome), simplicity(case, question)
            self.told(f"fails: {outcome.check} on {outcome.cell}")
        return True

    def _judged(self, case: Case, question: str) -> Outcome | None:
        """The first fault on ``case``, if there is one."""
        self.tried += 1
        wanted = CELL_CHECKS if question == CELLS else (question,)
        checks = [name for name in wanted if name != "gradient" or case.needs_gradient]
        try:
            outcomes = self._ask(case, checks)
        except WorkerLostError as lost:
            self._end()
            metrics = {
                "seed": case.seed,
                "reproduce": reproduce_command(self.implementation, case, "standard", checks[0]),
            }
            return Outcome(
                case=case, implementation=self.implementation.name, kind="judged", check=checks[0], status=lost.status,
                reason=lost.reason, metrics=metrics,
            )  # fmt: skip
        if question in DISRUPTIVE:
            self._end()  # invalid targets may leave a process damaged
        return next((outcome for outcome in outcomes if outcome.status in FAULTS), None)

    def _ask(self, case: Case, checks: list[str]) -> list[Outcome]:
        settings, reference = self.plan.settings, self.plan.torch.get(case.loss)
        if self._worker is None:
            environment = {"TRITON_INTERPRET": "1"} if case.device == INTERPRETER else {}
            self._worker = self.workers.start(environment=environment, memory_bytes=settings.memory_bytes)
        job: Mapping[str, Any] = {
            "job": "judge", "implementation": implementation_to_dict(self.implementation),
            "cases": [case_to_dict(case)], "checks": {case.cell: checks}, "grade": settings.grade,
            "threads": usable_cores(), "measure_memory": False,
            "torch": implementation_to_dict(reference) if reference else None,
        }  # fmt: skip
        outcomes = []
        for message in self._worker.request(job, timeout_s=settings.seconds_per_call):
            if "outcome" in message:
                outcomes.append(outcome_from_dict(message["outcome"]))
            elif "internal" in message:
                raise InternalError(f"judging {case.cell}: {message['internal']}", message["traceback"])
        return outcomes

    def _end(self) -> None:
        if self._worker is not None:
            self._worker.close()
            self._worker = None
