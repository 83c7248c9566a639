"""From a suite and the command line to a plan."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from harness.checks.catalogue import ADMISSION, questions
from harness.core.case import Case
from harness.core.errors import UnknownReferenceError
from harness.core.implementation import Implementation
from harness.hardware.host import available_memory_bytes, last_level_cache_bytes, usable_cores
from harness.losses.catalogue import families
from harness.losses.cells import default_cells
from harness.registry.own import own_losses
from harness.runner.asked import Asked
from harness.runner.plan import Plan, Settings, on_device, shard
from harness.runner.survey import Survey, survey
from harness.suite.expand import expand
from harness.suite.model import Suite
from harness.worker.process import Workers

#: A worker is held to this share of the memory available at the start; the rest is the parent's and the system's.
MEMORY_SHARE = 0.9
#: The loss that the workloads of a suite train with.
TRAINED = "cross_entropy"


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
    chosen_baseline = _baseline(found, suite.baseline, patterns)
    losses = {case.loss: None for case in cases} | ({TRAINED: None} if suite.training else {})
    chosen = [i for i in found.select(patterns) if i.loss in losses or asked.implementations or i.failed]
    if asked.implementations and any(i.loss in losses for i in chosen):
        # what was asked by name says which of the suite's losses are meant
        losses = {loss: None for loss in losses if any(i.loss == loss for i in chosen)}
        cases = [case for case in cases if case.loss in losses]
    if asked.only == "correctness" and asked.implementations and cases:
        # a loss of the user's own is in no bundled suite: small cells of its own axes stand in
        own = {i.loss for i in chosen if i.loss in own_losses() and i.loss not in {case.loss for case in cases}}
        kept = [case for case in cases if any(i.loss == case.loss for i in chosen)]
        cases = [*(kept if own else cases), *(case for loss in sorted(own) for case in default_cells(loss))]
        losses |= dict.fromkeys(own)
    timed = suite.timing is not None and asked.only != "correctness"
    baselines = _baselines(found, chosen_baseline, losses, timed=timed)
    names = {i.name for i in chosen}
    if timed:
        chosen = [*(one for one in baselines.values() if one.name not in names), *chosen]
    settings = _settings(suite, asked, timed)
    plan = Plan(
        cases=tuple(cases),
        questions=questions(cases, settings.checks, thorough=asked.thorough),
        implementations=tuple(chosen),
        baselines=baselines,
        torch=_by_torch(found),
        families=families(),
        cuda=found.cuda,
        settings=settings,
    )
    return plan, found


def _baseline(found: Survey, name: str, patterns: Sequence[str]) -> Implementation:
    """The implementation called ``name``: registered, a reference, or of a file among ``patterns``."""
    try:
        for pattern in patterns:
            for one in found.asked.get(pattern, ()):
                if one.name == name:
                    return one
        return found.select((name,))[0]
    except UnknownReferenceError as error:
        raise UnknownReferenceError(f"the suite's baseline: {error}") from None


def _baselines(
    found: Survey, chosen: Implementation, losses: Iterable[str], *, timed: bool
) -> dict[str, Implementation]:
    """What each loss is compared with: the suite's baseline where it implements the loss, else torch's own."""
    by_torch, baselines = _by_torch(found), {}
    for loss in losses:
        if chosen.loss == loss:
            baselines[loss] = chosen
        elif loss in by_torch:
            baselines[loss] = by_torch[loss]
        elif timed:
            raise UnknownReferenceError(
                f"nothing to compare {loss} with: the suite's baseline {chosen.name} implements {chosen.loss}\n"
                f"  write baseline: NAME, the name or reference of an implementation of {loss}, or timing: none"
            )
    return baselines


def _by_torch(found: Survey) -> dict[str, Implementation]:
    """Torch's own implementation of each loss that has one."""
    named = {name: found.named.get(family.baseline) for name, family in families().items()}
    return {name: one for name, one in named.items() if one is not None and one.loss == name}


def _settings(suite: Suite, asked: Asked, timed: bool) -> Settings:
    timing = None
    if timed and suite.timing is not None:
        timing = {
            "target_relative_width": suite.timing.target_relative_width,
            "max_seconds": suite.timing.max_seconds_per_cell,
            "cache": suite.timing.cache,
            "cuda_graph": suite.timing.cuda_graph,
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
