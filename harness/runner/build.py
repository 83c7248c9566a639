"""From a suite and the command line to a plan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.checks.catalogue import ADMISSION, questions
from harness.core.case import Case
from harness.core.errors import UnknownReferenceError
from harness.core.implementation import Implementation
from harness.hardware.host import available_memory_bytes, last_level_cache_bytes, usable_cores
from harness.losses.catalogue import families
from harness.runner.asked import Asked
from harness.runner.plan import Plan, Settings, on_device, shard
from harness.runner.survey import Survey, survey
from harness.suite.expand import expand
from harness.suite.model import Suite
from harness.worker.process import Workers

#: A worker is held to this share of the memory available at the start; the rest is the parent's and the system's.
MEMORY_SHARE = 0.9


def cases_of(suite: Suite, asked: Asked) -> tuple[Case, ...]:
    """The cells of ``suite`` after ``--device`` and ``--shard``."""
    cases = expand(suite, families())
    if asked.device is not None:
        cases = on_device(cases, asked.device)
    return cases if asked.shard is None else shard(cases, *asked.shard)


def build_plan(suite: Suite, cases: Sequence[Case], asked: Asked, workers: Workers, cwd: Path) -> tuple[Plan, Survey]:
    """Survey implementations and devices and pair them with ``cases``.

    Raises:
        UnknownReferenceError: an implementation or the baseline is unknown.
    """
    patterns = asked.implementations or suite.implementations
    found = survey(workers, (*patterns, suite.baseline), cwd)
    baseline = _baseline(found, suite.baseline)
    losses = {case.loss for case in cases}
    chosen = [i for i in found.select(patterns) if i.loss in losses or asked.implementations or i.failed]
    timed = suite.timing is not None and asked.only != "correctness"
    if timed and baseline.name not in {i.name for i in chosen}:
        chosen.insert(0, baseline)
    settings = _settings(suite, asked, timed)
    plan = Plan(
        cases=tuple(cases),
        questions=questions(cases, settings.checks, thorough=asked.thorough),
        implementations=tuple(chosen),
        baseline=baseline,
        torch=found.named.get("torch"),
        families=families(),
        cuda=found.cuda,
        settings=settings,
    )
    return plan, found


def _baseline(found: Survey, name: str) -> Implementation:
    try:
        return found.select((name,))[0]
    except UnknownReferenceError as error:
        raise UnknownReferenceError(f"the suite's baseline: {error}") from None


def _settings(suite: Suite, asked: Asked, timed: bool) -> Settings:
    timing = None
    if timed and suite.timing is not None:
        timing = {
            "target_relative_width": suite.timing.target_relative_width,
            "max_seconds": suite.timing.max_seconds_per_cell,
            "cache": suite.timing.cache,
            "confidence": suite.gate.confidence,
        }
    # no speed without a right answer: what is timed is judged, whatever the suite's list of checks
    wanted = set(ADMISSION) if asked.only == "speed" else {*suite.checks, *(ADMISSION if timing else ())}
    checks = asked.checks or tuple(name for name in (*ADMISSION, *suite.checks) if name in wanted)
    return Settings(
        checks=tuple(dict.fromkeys(checks)),
        grade=asked.grade or suite.grade,
        timing=timing,
        seconds_per_call=suite.limits.seconds_per_call,
        memory_bytes=min(suite.limits.memory_bytes or 1 << 62, int(available_memory_bytes() * MEMORY_SHARE)),
        threads=usable_cores(),
        cache_bytes=last_level_cache_bytes(),
        fail_fast=asked.fail_fast,
        thorough=asked.thorough,
    )
