"""Judges what timed calls returned: an answer that was right when judged must have been right when it was timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    case: Case, ring: Ring, kept: Sequence[Kept], *, grade: str, declared: Callable[[str], bool]
) -> str | None:
    """Why the answers of timed calls are not those that were judged; None where each holds its budget.

    Args:
        case: the timed cell.
        ring: its inputs; pair ``i`` gets its own contents back before the result of a call on it is judged.
        kept: results with their pairs, as a witness kept them.
        grade: the accuracy grade that the cell was judged by.
        declared: whether the implementation (or torch) declares a difference for ``agreement`` or ``gradient`` here, so
            that the cell was admitted without holding that budget.
    """
    for number, one in enumerate(kept):
        if not isinstance(one.result, torch.Tensor):
            return f"a timed call returned {type(one.result).__name__}, not a tensor"
        if not ring.intact(one.index):
            ring.restore(one.index)
        answer = _answer(case, one.result)
        evaluation = evaluate_answer(case, _inputs(ring, one.index), answer)
        for region in evaluation.regions:
            wrong = _fault(region, grade)
            if wrong and not declared("agreement" if region.value == "loss" else "gradient"):
                return (
                    f"timed call {number + 1} of {len(kept)} that were judged afterwards: {wrong}, so no speed is shown"
                )
        if not evaluation.regions:
            return f"a timed call returned a tensor of shape {tuple(one.result.shape)}"
    return None


def _inputs(ring: Ring, index: int) -> Any:
    logits, target, *_ = ring.pairs[index]
    return replace(ring.source, logits=logits.detach(), target=target)


def _answer(case: Case, result: torch.Tensor) -> Answer:
    if case.needs_gradient:
        return Answer(loss=None, gradients={"logits": result.detach()})
    return Answer(loss=result.detach(), gradients={})


def _fault(region: RegionReport, grade: str) -> str:
    if region.mismatches:
        first = region.first_mismatch
        assert first is not None
        return f"{region.value}[{region.region}] is {first.found} where the truth is {first.expected:.9g}"
    if region.entries and not region.worst[grade].ratio <= 1:
        return f"{region.value}[{region.region}] is off by {region.worst[grade].ratio:.3g} times its budget"
    return ""
