"""What a suite can see, measured in a worker: a region that no regime shows when it is zeroed makes the suite blind."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.case import Case, case_to_dict, parse_cell
from harness.core.errors import InternalError
from harness.losses.catalogue import has_part
from harness.report.page_sight import options_of, power
from harness.report.sight import sight_case
from harness.runner.events import Listener
from harness.runner.plan import Plan
from harness.runner.record import Record
from harness.worker.process import WorkerLostError, Workers

#: Longest silence of the worker that measures: one case of at most 2^15 logits, or two rows.
TIMEOUT_S = 120.0
#: Rows of more logits (or, times the features of a linear loss, of more weights) than this are not measured.
MOST_ROW_ELEMENTS = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the check of ``case`` sees of one region: the smallest ε caught, and whether a zeroed region is."""

    case: Case
    value: str
    region: str
    epsilon: float | None
    sees_zero: bool

    @property
    def group(self) -> tuple[str, ...]:
        """What some regime must see: the region, by loss, dtype, C and options."""
        case = self.case
        return (f"{self.value}[{self.region}]", case.loss, case.dtype, str(case.classes), options_of(case))


def asked_of(cases: Iterable[Case]) -> tuple[Case, ...]:
    """``cases`` as their sight is kept, each once; those too large and those of families without regions left out."""
    found: dict[str, Case] = {}
    for case in cases:
        plain = sight_case(case)
        row = plain.elements // max(plain.batch, 1) * max(plain.features, 1)
        if 0 < row <= MOST_ROW_ELEMENTS:
            found.setdefault(plain.cell, plain)
    return tuple(case for case in found.values() if has_part(case.loss, "regions"))


def look(cases: Sequence[Case], plan: Plan, workers: Workers) -> tuple[Seen, ...]:
    """Measure what the checks of ``cases`` see under the plan's grade.

    Raises:
        InternalError: the worker failed; no stranger's code runs in it.
        WorkerLostError: it was lost, for want of memory or of time.
    """
    asked = [case for case in asked_of(cases) if plan.families[case.loss].refusal(case) is None]
    job = {
        "job": "blindness", "cases": [case_to_dict(case) for case in asked], "grade": plan.settings.grade,
        "threads": plan.settings.threads,
    }  # fmt: skip
    worker = workers.start(environment={})
    found: list[Seen] = []
    try:
        for message in worker.request(job, timeout_s=TIMEOUT_S) if asked else ():
            if "internal" in message:
                raise InternalError(f"measuring blindness: {message['internal']}", message["traceback"])
            if "seen" in message:
                case = parse_cell(message["seen"]["cell"])
                found += [Seen(case=case, **sight) for sight in message["seen"]["sights"]]
    finally:
        worker.close()
    return tuple(found)


def keep_blindness(
    plan: Plan, workers: Workers, record: Record, listener: Listener, known: Mapping[str, Any]
) -> list[str]:
    """Measure the blindness of a run's suite into its header, unless ``known`` has it; the faults, one line each."""
    if known.get("cells"):
        return list(known.get("blind", ()))
    listener.working("what the suite can see")
    try:
        seen = look(plan.cases, plan, workers)
    except WorkerLostError as lost:
        listener.note(f"what the suite can see was not measured: {lost.reason}")
        return []
    blind = blind_lines(seen)
    record.sink.update_header(blindness={"cells": [_plain(each) for each in seen], "blind": blind})
    for line in (*blind, *sight_lines(seen)):
        listener.note(line)
    return blind


def blind_lines(seen: Sequence[Seen]) -> list[str]:
    """One line for each region, dtype, C and set of options of which no regime shows a zeroed region."""
    groups: dict[tuple[str, ...], list[Seen]] = defaultdict(list)
    for each in seen:
        groups[each.group].append(each)
    lines = []
    for (region, loss, dtype, classes, options), found in groups.items():
        if not any(each.sees_zero for each in found):
            regimes = dict.fromkeys(each.case.regime for each in found)
            lines.append(
                f"blind: {loss} {dtype} with {classes} classes ({options}): a zeroed {region} passes in every regime of"
                f" the suite ({', '.join(regimes)}); {_remedy(found)}"
            )
    return lines


def _remedy(found: Sequence[Seen]) -> str:
    """What to add to a suite that does not see a region; of equal upstream gradients a softmax makes 0."""
    equal = all(each.case.grad_output != "random" and each.value != "loss" for each in found)
    if equal and "normal" in {each.case.regime for each in found}:
        return "add grad_output: random, or a regime that shows it, e.g. sigma10"
    return "add a regime that shows it, e.g. normal"


def sight_lines(seen: Sequence[Seen]) -> list[str]:
    """For each dtype the smallest change that is seen of each region, in the set of options where it is worst."""
    best: dict[tuple[str, ...], float] = {}
    for each in seen:
        if each.sees_zero and each.epsilon is not None:
            best[each.group] = min(each.epsilon, best.get(each.group, math.inf))
    worst: dict[str, dict[str, float]] = defaultdict(dict)
    for (region, _, dtype, *_), epsilon in best.items():
        worst[dtype][region] = max(epsilon, worst[dtype].get(region, 0.0))
    coarse = len({each.case.cell for each in seen if each.value != "loss" and not each.sees_zero})
    lines = [
        f"sees, {dtype}: {', '.join(f'{region} × (1 + {power(epsilon)})' for region, epsilon in regions.items())}"
        " where options and C make it hardest"
        for dtype, regions in worst.items()
    ]
    return [*lines, *([f"{coarse} cells are value only: a zeroed gradient passes there"] if coarse else [])]


def _plain(seen: Seen) -> dict[str, Any]:
    return {
        "cell": seen.case.cell, "value": seen.value, "region": seen.region, "epsilon": seen.epsilon,
        "sees_zero": seen.sees_zero,
    }  # fmt: skip
