"""Second order, a part of ``grad_output``: the gradient of the gradient is right, or it says that there is none.

A backward that is no part of the graph is honest: the gradient it returns does not require grad, or differentiating it
raises. What must not be is a gradient that claims to be differentiable and whose derivative is wrong. (torch.autograd's
``hessian`` would not tell: it answers zeros for a graph that is cut.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from harness.checks.evidence import Answer, Refusal
from harness.checks.probe import Probe, attempt, leaf
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.losses.evaluators import part, specification

_VARIANT = "create_graph"
#: Upstream factor of the second question; exact in every dtype.
_FACTOR = 3.0


def second_order(probe: Probe) -> Iterator[Verdict]:
    """One verdict where torch itself accumulates as precisely as the budget asks: float32 and float64.

    A family without a budget of its curvature is held to half the digits of torch's derivative.

    Asked twice: of the loss itself, and of the loss times a number that depends on the logits (with derivative 0). Only
    then does the upstream gradient require grad, so that a backward that scales a constant seems to be differentiable.
    """
    case, inputs = probe.evidence.case, probe.evidence.inputs
    known = family_of(case.loss).has_curvature
    if case.dtype not in ("float32", "float64"):
        return
    generator = torch.Generator().manual_seed(case.seed + 2)
    vector = torch.randn(inputs.logits.shape, generator=generator, dtype=torch.float64)
    vector = vector.to(inputs.logits.dtype).to(inputs.logits.device)
    verdicts = [_asked(probe, vector, composed) for composed in (False, True)]
    if known and case.reduction == "none" and verdicts[0].status is Status.PASSED:
        verdicts.append(_by_upstream(probe))
    # a difference that is declared is told before a refusal of the other question
    told = [[each for each in verdicts if each.status is status] for status in (Status.FAILED, Status.DECLARED)]
    yield (told[0] or told[1] or verdicts)[0]


def _asked(probe: Probe, vector: torch.Tensor, composed: bool) -> Verdict:
    case, inputs = probe.evidence.case, probe.evidence.inputs
    known = family_of(case.loss).has_curvature
    if not known:
        # of equal upstream gradients softmax has no gradient, and no second one either
        drawn = torch.randn(inputs.grad_output.shape, generator=torch.Generator().manual_seed(case.seed + 3))
        inputs = replace(inputs, grad_output=drawn.to(inputs.grad_output))
    function, asked = probe.evidence.function(case, inputs), inputs
    if composed:
        inputs = replace(inputs, grad_output=torch.full_like(inputs.grad_output, _FACTOR))
    found = attempt(lambda: _second(function, asked, vector, composed))
    if found is None or isinstance(found, Refusal):
        why = "the gradient made under create_graph does not require grad" if found is None else found.reason
        return probe.unsupported(_VARIANT, f"first order only: {why}")
    if not known:
        return _held_to_torch(probe, asked, vector, composed, found)
    worst = part(case.loss, "curvature").judge_curvature(case, inputs, vector, found)
    if worst.ratio <= 1:
        return probe.passed(_VARIANT, double_backward="right")
    when = "of the loss times a number that requires grad " if composed else ""
    reason = (
        f"the gradient {when}requires grad under create_graph, but its derivative is off by {worst.error:.3g}, "
        f"budget {worst.budget:.3g} ({worst.ratio:.3g}×); found {worst.found:.9g}, truth {worst.expected:.9g}"
    )
    return probe.failed(_VARIANT, reason, "second_order")


def _by_upstream(probe: Probe) -> Verdict:
    """The gradient's derivative by the upstream gradient: each row's gradient for an upstream of 1."""
    case, inputs = probe.evidence.case, probe.evidence.inputs
    found = attempt(lambda: _jacobian(probe))
    if isinstance(found, Refusal):
        return probe.unsupported(_VARIANT, f"first order only: {found.reason}")
    ones = replace(inputs, grad_output=torch.ones_like(inputs.grad_output))
    verdict = probe.answered(_VARIANT, case, ones, found)
    if verdict.status is not Status.FAILED:
        return replace(verdict, details={"double_backward": "right"})
    return replace(verdict, reason=f"the gradient's derivative by grad_output is wrong: {verdict.reason}")


def _jacobian(probe: Probe) -> Answer:
    inputs = probe.evidence.inputs
    logits, upstream = leaf(inputs.logits), leaf(inputs.grad_output)
    loss = probe.evidence.function(probe.evidence.case, inputs)(logits, inputs.target)
    (gradient,) = torch.autograd.grad(loss, logits, upstream, create_graph=True)
    rows = torch.zeros_like(inputs.logits)
    for column in range(rows.shape[1]):
        found = torch.autograd.grad(
            gradient[:, column].sum(), upstream, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        rows[:, column] = found[0]
    return Answer(loss=loss.detach(), gradients={"logits": rows}, requires_grad=True)


def _held_to_torch(probe: Probe, inputs: Inputs, vector: torch.Tensor, composed: bool, found: torch.Tensor) -> Verdict:
    """The verdict on a derivative without a budget: what is none at all is off by more than half its digits."""
    case = probe.evidence.case
    specified = specification(case.loss)
    truth = attempt(lambda: _second(lambda x, _: specified(case, inputs, x), inputs, vector, composed))
    if isinstance(truth, Refusal):
        return probe.unsupported(_VARIANT, f"torch has no second derivative to compare with: {truth.reason}")
    truth = torch.zeros_like(vector) if truth is None else truth
    allowed = torch.finfo(truth.dtype).eps ** 0.5 * (truth.abs().max() + vector.abs().max())
    error = (found - truth).abs().nan_to_num(nan=torch.inf)
    if bool((error <= allowed).all()):
        return probe.passed(_VARIANT, double_backward="right")
    at = int(error.argmax())
    reason = (
        f"the gradient requires grad under create_graph, but its derivative is {found.flatten()[at]:.9g} where torch's "
        f"is {truth.flatten()[at]:.9g}, at entry {at}"
    )
    return probe.failed(_VARIANT, reason, "second_order")


def _second(function: Callable[..., Any], inputs: Inputs, vector: torch.Tensor, composed: bool) -> torch.Tensor | None:
    """The gradient's derivative along ``vector``; None where the gradient says that it has none."""
    logits = leaf(inputs.logits)
    loss = function(logits, inputs.target)
    if composed:
        loss = loss * (_FACTOR + (logits * 0.0).sum())
    (gradient,) = torch.autograd.grad(loss, logits, inputs.grad_output.to(loss.dtype), create_graph=True)
    if not gradient.requires_grad:
        return None
    # not autograd.grad: it leaves out the node by which once_differentiable raises, as that leads to no input
    gradient.backward(vector)
    return torch.zeros_like(logits) if logits.grad is None else logits.grad
