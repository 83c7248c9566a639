"""``precision``: the error stays that of one final rounding as rows and classes grow, in float32, under autocast."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from harness.checks.cases.precision import ROWS
from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.trial import Sweep, attempt, bare, fault, sweep_seconds
from harness.core.case import REDUCTIONS, Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.evaluators import true_answer
from harness.losses.inputs import build_inputs


def precision(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict over the growing sizes of the cell; beside it variants ``float32`` and ``autocast``."""
    sweep = Sweep(evidence, "precision", seconds=sweep_seconds(evidence, 1.5), least=2)
    by_rows = set(ROWS) <= set(evidence.case.options)
    planned = list(_rows(bare(evidence.case)) if by_rows else _classes(bare(evidence.case)))
    for case in planned:
        if sweep.ask(f"{case.rows} rows of {case.classes} {case.regime} classes, {case.reduction}", case) is None:
            break
    yield sweep.verdict(len(planned))
    if by_rows:
        return
    if evidence.case.dtype in ("bfloat16", "float16"):
        yield from _beside_float32(evidence)
    if evidence.case.dtype != "float64":
        yield from _under_autocast(evidence)


def _rows(case: Case) -> Iterator[Case]:
    """A sum kept in half precision, or one that a chunk adds to in it, is off by more the more rows there are."""
    for batch in (64, 1024, case.batch):
        for reduction in REDUCTIONS[1:]:
            # a loss near log C + 1 would overflow float16 in a sum of 65504 or more: these stay below
            yield replace(case, batch=batch, reduction=reduction, regime="small")
    yield replace(case, batch=1024, reduction="mean", regime="wide")
    yield replace(case, batch=1024, reduction="none", regime="wide")


def _classes(case: Case) -> Iterator[Case]:
    """A row's sum kept in half precision stands still once its terms fall below half an ulp of it."""
    for regime in ("normal", "sigma10", "confident", "offset", "swamp"):
        for classes in (64, 2048, case.classes):
            yield replace(case, classes=classes, regime=regime)


def _beside_float32(evidence: Evidence) -> Iterator[Verdict]:
    """The same values as float32: the two answers may differ by no more than the two budgets."""
    half = replace(bare(evidence.case), classes=2048, regime="sigma10")
    single = replace(half, dtype="float32")
    inputs = build_inputs(half)
    low = attempt(evidence, half, inputs)
    high = attempt(evidence, single, _typed(inputs, torch.float32))
    if isinstance(low, Refusal) or isinstance(high, Refusal):
        reason = next(r.reason for r in (low, high) if isinstance(r, Refusal))
        yield Verdict(check="precision", variant="float32", status=Status.UNSUPPORTED, reason=reason, seed=half.seed)
        return
    for found in (low, high):
        wrong = fault(found, "precision", "float32")
        if wrong is not None:
            yield _excused(evidence, found, wrong)
            return
    yield Verdict(check="precision", variant="float32", status=Status.PASSED, seed=half.seed)


def _under_autocast(evidence: Evidence) -> Iterator[Verdict]:
    """Under autocast: right to within what bfloat16 arithmetic on these very values costs, or refused with an error.

    The logits hold values that bfloat16 has, so that a cast of them loses nothing. torch answers in float32.
    """
    case = replace(bare(evidence.case), classes=2048, batch=8)
    # float16 has not all values of bfloat16 (below 2^-14); those that both have are the same in either
    inputs = _typed(build_inputs(replace(case, dtype="bfloat16")), getattr(torch, case.dtype))
    values = _typed(inputs, torch.bfloat16)
    with torch.autocast(inputs.logits.device.type, dtype=torch.bfloat16):
        found = evidence.call(case, inputs.copied())
    if isinstance(found, Refusal):
        reason = f"refuses autocast: {found.reason}"
        yield Verdict(check="precision", variant="autocast", status=Status.UNSUPPORTED, reason=reason, seed=case.seed)
        return
    judged = replace(case, dtype="bfloat16")
    evaluation = evidence.evaluate(judged, values, _before_rounding(found, case, values))
    loss, narrow = found.loss, (torch.float32, torch.bfloat16, torch.float16)
    answer = replace(
        found, gradients={k: v.to(torch.bfloat16) for k, v in found.gradients.items()},
        loss=loss.to(torch.bfloat16) if isinstance(loss, torch.Tensor) and loss.dtype in narrow else loss,
    )  # fmt: skip
    whole = replace(evidence, case=judged, inputs=values, answer=answer, evaluation=evaluation)
    wrong = fault(whole, "precision", "autocast")
    passed = Verdict(check="precision", variant="autocast", status=Status.PASSED, seed=case.seed)
    yield passed if wrong is None else _excused(evidence, whole, wrong)


def _before_rounding(answer: Answer, case: Case, values: Any) -> Answer:
    """``answer``, of what is float16 the value nearest the truth that rounds to it: bfloat16's budget has no such step.

    Where bfloat16 still has normal numbers, below 2^-14, float16 has coarser ones or none.
    """
    if case.dtype != "float16":
        return answer
    loss, gradients = true_answer(case.loss)(replace(case, dtype="float32"), _typed(values, torch.float32))
    near = {name: _towards(gradients[name], v) if name in gradients else v for name, v in answer.gradients.items()}
    return replace(answer, loss=_towards(loss, answer.loss), gradients=near)


def _towards(truth: torch.Tensor, found: Any) -> Any:
    """``found`` as float32, moved to ``truth`` by at most half an ulp; as it is where it is not finite float16."""
    if not isinstance(found, torch.Tensor) or found.dtype != torch.float16 or found.shape != truth.shape:
        return found
    wide = found.float()
    exponent = torch.frexp(wide.abs().clamp(min=2.0**-14))[1]
    half_ulp = torch.ldexp(torch.ones_like(wide), exponent - 12)
    moved = torch.minimum(torch.maximum(truth.to(wide), wide - half_ulp), wide + half_ulp)
    return torch.where(torch.isfinite(wide) & torch.isfinite(moved), moved, wide)


def _excused(evidence: Evidence, found: Evidence, wrong: Verdict) -> Verdict:
    """``wrong``, or declared where there is a declared reason for it."""
    excuse = evidence.excuse(replace(wrong, variant=""), found.case, found.inputs, found.answer)
    return wrong if excuse is None else replace(wrong, status=Status.DECLARED, reason=excuse)


def _typed(inputs: Any, dtype: torch.dtype) -> Any:
    return replace(inputs, logits=inputs.logits.to(dtype), grad_output=inputs.grad_output.to(dtype))
