"""The stand on which mutants and controls are judged: each in a worker of its own, by the runner's own path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from harness.checks.catalogue import Questions, questions
from harness.core.case import Case
from harness.core.errors import HarnessError
from harness.core.implementation import Implementation
from harness.core.outcome import Outcome
from harness.core.status import FAULTS
from harness.losses.catalogue import families
from harness.mutants.catalogue import Control, Mutant
from harness.mutants.results import Result, result_of
from harness.runner.asked import Asked
from harness.runner.build import build_plan
from harness.runner.events import Silent
from harness.runner.judging import Judge
from harness.runner.plan import Plan
from harness.runner.record import NoSink, Record
from harness.suite.expand import expand
from harness.suite.model import Suite
from harness.worker.process import Workers

#: A mutant that is silent for longer has hung; the slowest honest call takes a tenth of it.
SECONDS_PER_CALL = 30.0

Subject = Mutant | Control


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One question to one subject: ``question`` is the name it goes by in results."""

    subject: Subject
    question: str
    asked: Questions
    fail_fast: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A plan without implementations of its own, the descriptions of all subjects, and the workers that judge them."""

    plan: Plan
    described: Mapping[str, Implementation]
    workers: Workers

    def judge(self, trial: Trial) -> Result:
        """Put one question; the subject's worker is started for it and ended with it."""
        implementation = self.described[trial.subject.reference]
        grade = trial.subject.grade if isinstance(trial.subject, Mutant) else self.plan.settings.grade
        settings = replace(self.plan.settings, fail_fast=trial.fail_fast, timing=None, grade=grade)
        plan = replace(self.plan, questions=trial.asked, implementations=(implementation,), settings=settings)
        record = Record(NoSink(), Silent())
        started = time.monotonic()
        Judge(plan, self.workers, record, Silent()).judge(implementation)
        _require_sound(implementation, record.outcomes)
        return result_of(trial.subject, trial.question, record.outcomes, time.monotonic() - started)

    def judge_all(self, trials: Sequence[Trial], jobs: int, told: Callable[[Result], None]) -> tuple[Result, ...]:
        """Put all questions, ``jobs`` at a time; ``told`` hears each result in this thread as it comes."""
        found: dict[int, Result] = {}
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            pending = {pool.submit(self.judge, trial): index for index, trial in enumerate(trials)}
            try:
                for future in _as_done(set(pending)):
                    found[pending[future]] = future.result()
                    told(found[pending[future]])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        return tuple(found[index] for index in sorted(found))


def make_stand(suite: Suite, subjects: Sequence[Subject], workers: Workers) -> Stand:
    """Describe ``subjects`` in a worker and make the plan that they are judged by.

    Each worker has one thread of torch: as many workers run at once as there are cores.
    """
    asked = Asked(implementations=tuple(subject.reference for subject in subjects), only="correctness")
    plan, _ = build_plan(suite, (), asked, workers, Path.cwd())
    settings = replace(plan.settings, threads=1, seconds_per_call=min(SECONDS_PER_CALL, suite.limits.seconds_per_call))
    described = {implementation.reference: implementation for implementation in plan.implementations}
    return Stand(plan=replace(plan, settings=settings), described=described, workers=workers)


def _require_sound(implementation: Implementation, outcomes: Sequence[Outcome]) -> None:
    """A worker that cannot start, or a subject that cannot be imported, must not pass for a kill.

    Raises:
        HarnessError: that is what happened.
    """
    reason = implementation.failed
    for outcome in outcomes:
        if outcome.status in FAULTS and any(
            f" in {stage}" in outcome.reason for stage in ("start", "import of", "making inputs")
        ):
            reason = outcome.reason
    if reason is not None:
        raise HarnessError(f"{implementation.reference} was never put to the test: {reason}")


def cases_on_cpu(suite: Suite) -> tuple[Case, ...]:
    """The suite's cells on the CPU, where all mutants run."""
    return tuple(case for case in expand(suite, families()) if case.device == "cpu")


def of_check(check: str, cases: Sequence[Case], *, thorough: bool = False) -> Questions:
    """The cells of ``check``: its own, or ``cases`` for one that has none."""
    return questions(cases, (check,), thorough=thorough)


def of_suite(suite: Suite, cases: Sequence[Case], checks: Sequence[str]) -> Questions:
    """What ``suite`` asks by ``checks``, the smallest cells first: a mutant is caught sooner."""
    asked = questions(cases, checks)
    return MappingProxyType(dict(sorted(asked.items(), key=lambda item: item[0].elements)))


def _as_done(pending: set[Future[Result]]) -> Iterator[Future[Result]]:
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        yield from done
