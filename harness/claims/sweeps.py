"""The verbs that need many inputs or a clock: an identity over dtypes and regimes, and one procedure's time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter_ns
from typing import Any

import torch
from torch import Tensor

from harness.claims.model import Evidence
from harness.claims.operations import PROCEDURES
from harness.claims.steps import Values
from harness.core.case import Case
from harness.core.errors import UsageError
from harness.inputs.build import build_inputs
from harness.losses.evaluators import evaluator
from harness.stats.interval import RatioSummary
from harness.timing.sampler import SampleOf, SamplerSettings, ratio, sample_arms

Procedure = Callable[[Tensor, Tensor], Tensor]
Result = tuple[bool | None, list[Evidence]]


def identity(parameters: Mapping[str, Any], values: Values) -> Result:
    """Two procedures give one value and one gradient in every cell: equal bits, or both within the rounding budget.

    The budget is that of grade ``standard`` (docs/method.md), against the float64 oracle. Where both leave it with
    the same bits, they are equal in their error too.
    """
    first, second = _procedure(parameters["first"]), _procedure(parameters["second"])
    lines, cells = [], 0
    for dtype in parameters["dtypes"]:
        for regime in parameters["regimes"]:
            case = Case(
                batch=parameters["batch"], classes=parameters["classes"], dtype=dtype, regime=regime, reduction="mean"
            )
            cells += 1
            lines += _differing(case, first, second, parameters)
    names = f"{parameters['first']} against {parameters['second']}"
    total = Evidence(
        what=f"{names}: loss and gradient, {len(parameters['dtypes'])} dtypes × {len(parameters['regimes'])} regimes",
        found=f"one answer in {cells - len(lines)} of {cells} cells", published=f"{cells} cells", agrees=not lines,
    )  # fmt: skip
    return not lines, [total, *lines]


def faster(parameters: Mapping[str, Any], values: Values) -> Result:
    """Time both procedures, forward and backward, in interleaved rounds; None where the interval leaves it open.

    The claim holds if ``first`` is faster on every shape beyond 1 %, fails if it is slower on some beyond 1 %.
    """
    arms = {name: _procedure(parameters[name]) for name in ("first", "second")}
    budget = parameters["max_seconds"] / len(parameters["shapes"])
    lines, verdicts = [], []
    for rows, classes in parameters["shapes"]:
        summary = _timed(arms, rows, classes, budget)
        verdicts.append(summary.verdict)
        found = f"{summary.speedup:.2f}× as fast ({summary.low:.2f} to {summary.high:.2f})"
        agrees = {"faster": True, "slower": False, "same": False}.get(summary.verdict)
        what = f"{parameters['first']} against {parameters['second']}, {rows}×{classes} float32"
        lines.append(Evidence(what=what, found=found, published="above 1", agrees=agrees, off=summary.verdict))
    if all(verdict == "faster" for verdict in verdicts):
        return True, lines
    return (False if {"slower", "same"}.intersection(verdicts) else None), lines


VERBS = {"identity": identity, "faster": faster}


def _differing(case: Case, first: Procedure, second: Procedure, parameters: Mapping[str, Any]) -> list[Evidence]:
    """A line of evidence where the two answer ``case`` differently; none where they agree."""
    inputs = build_inputs(case)
    answers = [_answer(procedure, inputs.logits, inputs.target) for procedure in (first, second)]
    if all(torch.equal(_bits(one), _bits(other)) for one, other in zip(*answers, strict=True)):
        return []
    wrong = [
        name
        for name, (loss, gradient) in zip(("first", "second"), answers, strict=True)
        if evaluator(case.loss)(case, inputs, loss, {"logits": gradient}).grade is None
    ]
    if not wrong:
        return []
    found = "; ".join(
        f"{parameters[name]}: loss {float(loss):.5g}{_nonfinite(gradient)}"
        for name, (loss, gradient) in zip(("first", "second"), answers, strict=True)
    )
    told = " and ".join(parameters[name] for name in wrong)
    return [Evidence(what=f"{case.dtype}, {case.regime}", found=found, published="one answer", off=told, agrees=False)]


def _answer(procedure: Procedure, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    x = logits.detach().requires_grad_()
    loss = procedure(x, target)
    (gradient,) = torch.autograd.grad(loss, x)
    return loss.detach(), gradient


def _bits(value: Tensor) -> Tensor:
    # NaN equals nothing, itself included; its place is what counts
    return torch.nan_to_num(value.double(), nan=1e300, posinf=2e300, neginf=-2e300)


def _nonfinite(gradient: Tensor) -> str:
    count = int((~torch.isfinite(gradient)).sum())
    return f", {count} of {gradient.numel()} gradient entries not finite" if count else ""


def _timed(arms: Mapping[str, Procedure], rows: int, classes: int, seconds: float) -> RatioSummary:
    case = Case(batch=rows, classes=classes)
    inputs = build_inputs(case)
    settings = replace(SamplerSettings(), max_seconds=seconds, target_relative_width=0.05)
    sampled = sample_arms(
        {name: _sample(procedure, inputs.logits, inputs.target) for name, procedure in arms.items()},
        "second", settings, seed=0, now_ns=perf_counter_ns,
    )  # fmt: skip
    return ratio(sampled, "second", "first", settings.confidence)


def _sample(procedure: Procedure, logits: Tensor, target: Tensor) -> SampleOf:
    x = logits.detach().requires_grad_()

    def run(calls: int) -> int:
        begin = perf_counter_ns()
        for _ in range(calls):
            torch.autograd.grad(procedure(x, target), x)
        return perf_counter_ns() - begin

    return run


def _procedure(name: str) -> Procedure:
    if name not in PROCEDURES:
        raise UsageError(f"no procedure is called {name!r}; allowed: {', '.join(PROCEDURES)}")
    return PROCEDURES[name]
