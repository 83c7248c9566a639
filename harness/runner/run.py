"""One run from plan to record: judge every implementation apart, then time those that passed, together."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.runner.events import Listener
from harness.runner.judging import Judge
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.runner.timing import Timer
from harness.worker.process import Workers


def execute(
    plan: Plan, workers: Workers, record: Record, listener: Listener, *, observing_seconds: float = 0.0
) -> None:  # fmt: skip
    """Bring every cell of ``plan`` to its outcomes, as far as the record does not hold them already.

    ``observing_seconds`` went before, and belong to the account of a timed run.

    Judging ends, and with it every judging worker, before timing begins: an idle process's thread pool would slow the
    one that is timed.
    """
    if plan.settings.timing is None:
        for implementation in plan.implementations:
            Judge(plan, workers, record, listener).judge(implementation)
        return
    # compilers start from nothing in each timed run, so that a first call is one; the processes that time find there
    # what was compiled while judging
    with tempfile.TemporaryDirectory(prefix="harness-compiled-") as folder:
        _judge_and_time(plan, workers, record, listener, compiled_into(folder), observing_seconds)


def compiled_into(folder: str) -> dict[str, str]:
    """Environment of a worker whose compilers keep what they make below ``folder``."""
    return {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/inductor", "TRITON_CACHE_DIR": f"{folder}/triton"}


def _judge_and_time(
    plan: Plan, workers: Workers, record: Record, listener: Listener, environment: Mapping[str, str],
    observing_seconds: float,
) -> None:  # fmt: skip
    started = time.monotonic()
    judge = Judge(plan, workers, record, listener, environment)
    for implementation in plan.implementations:
        judge.judge(implementation)
    judging_seconds = time.monotonic() - started
    timer = Timer(plan, workers, record, listener, environment)
    try:
        timer.settle()
        for case in plan.timed_cases():
            timer.time(case)
        timer.account(judging_seconds, observing_seconds)
    finally:
        timer.close()


def count_work(plan: Plan) -> tuple[int, int]:
    """(sets of inputs to be judged over all implementations, cells to be timed)."""
    judged = sum(len(plan.groups(implementation)) for implementation in plan.implementations)
    return judged, len(plan.timed_cases())


def stale_expectations(implementations: Sequence[Implementation], outcomes: Sequence[Outcome]) -> list[str]:
    """Notes on declared differences whose condition held in some judged cell and which showed in none."""
    held: Counter[tuple[str, str]] = Counter()
    shown: set[tuple[str, str]] = set()
    known = {implementation.name: implementation for implementation in implementations}
    for outcome in outcomes:
        implementation = known.get(outcome.implementation)
        if implementation is None or outcome.kind != JUDGED or outcome.status not in (Status.PASSED, Status.DECLARED):
            continue
        region = str(outcome.metrics.get("region", ""))
        for expectation in implementation.expect:
            key = (implementation.name, expectation.text)
            if expectation.covers(outcome.check, outcome.case, outcome.variant, region):
                held[key] += 1
                if outcome.status is Status.DECLARED and not outcome.reason.startswith("as torch"):
                    shown.add(key)
    stale: dict[str, list[str]] = defaultdict(list)
    for (name, text), count in held.items():
        if (name, text) not in shown:
            stale[name].append(f"{text} ({count} verdicts)")
    return [
        f"stale: {name} declares what did not show where its condition held: {'; '.join(texts)}"
        for name, texts in stale.items()
    ]
