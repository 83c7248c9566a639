"""Judges what timed calls returned: an answer that was right when judged must have been right when it was timed."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import torch

from harness.checks.evidence import Answer
from harness.core.case import Case
from harness.numerics.evaluation import RegionReport
from harness.timing.ring import Ring
from harness.timing.witness import Kept
from harness.worker.trials import evaluate_answer


def wrong_when_timed(
    case: Case, ring: Ring, kept: Sequence[Kept], *, grade: str, held: Collection[str], seconds: float = math.inf
) -> str | None:
    """Why the answers of timed calls are not those that were judged; None where each holds its budget.

    Args:
        case: the timed cell.
        ring: its inputs; pair ``i`` gets its own contents back before the result of a call on it is judged.
        kept: results with their pairs, the most telling first.
        grade: the accuracy grade that the cell was judged by.
        held: the cell checks that the implementation passed in this cell; what it was not asked, or differs in as
            declared, is not held against its timed calls either.
        seconds: judge the first, then more until so much time is spent.
    """
    until = time.monotonic() + seconds
    for number, one in enumerate(kept):
        if number and time.monotonic() >= until:
            break
        if not isinstance(one.result, torch.Tensor):
            return f"a timed call returned {type(one.result).__name__}, not a tensor"
        if not ring.intact(one.index):
            ring.restore(one.index)
        evaluation = evaluate_answer(case, _inputs(ring, one.index), _answer(case, one.result))
        if not evaluation.regions:
            return f"a timed call returned a tensor of shape {tuple(one.result.shape)}"
        wrong = next((w for region in evaluation.regions if (w := _fault(region, grade, held))), "")
        if wrong:
            return (
                f"a timed call, judged afterwards, is wrong where the judged one was right ({wrong}): no speed is shown"
            )
    return None


def _inputs(ring: Ring, index: int) -> Any:
    logits, target, *_ = ring.pairs[index]
    return replace(ring.source, logits=logits.detach(), target=target)


def _answer(case: Case, result: torch.Tensor) -> Answer:
    if case.needs_gradient:
        return Answer(loss=None, gradients={"logits": result.detach()})
    return Answer(loss=result.detach(), gradients={})


def _fault(region: RegionReport, grade: str, held: Collection[str]) -> str:
    if ("agreement" if region.value == "loss" else "gradient") not in held:
        return ""
    if region.mismatches and "stability" in held:
        first = region.first_mismatch
        assert first is not None
        return f"{region.value}[{region.region}] is {first.found} where the truth is {first.expected:.9g}"
    if region.entries and not region.worst[grade].ratio <= 1:
        return f"{region.value}[{region.region}] is off by {region.worst[grade].ratio:.3g} times its budget"
    return ""
