"""Second order, a part of ``grad_output``: the gradient of the gradient is right, or it says that there is none.

A backward that is no part of the graph is honest: the gradient it returns does not require grad, or differentiating it
raises. What must not be is a gradient that claims to be differentiable and whose derivative is wrong. (torch.autograd's
``hessian`` would not tell: it answers zeros for a graph that is cut.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from harness.checks.evidence import Refusal
from harness.checks.probe import Probe, attempt, leaf
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.evaluators import part

_VARIANT = "create_graph"
#: Upstream factor of the second question; exact in every dtype.
_FACTOR = 3.0


def second_order(probe: Probe) -> Iterator[Verdict]:
    """One verdict where torch itself accumulates as precisely as the budget asks: float32 and float64.

    Asked twice: of the loss itself, and of the loss times a number that depends on the logits (with derivative 0). Only
    then does the upstream gradient require grad, so that a backward that scales a constant seems to be differentiable.
    """
    case, inputs = probe.evidence.case, probe.evidence.inputs
    if case.dtype not in ("float32", "float64"):
        return
    generator = torch.Generator().manual_seed(case.seed + 2)
    vector = torch.randn(inputs.logits.shape, generator=generator, dtype=torch.float64)
    vector = vector.to(inputs.logits.dtype).to(inputs.logits.device)
    verdicts = [_asked(probe, vector, composed) for composed in (False, True)]
    failed = [verdict for verdict in verdicts if verdict.status is Status.FAILED]
    yield (failed or verdicts)[0]


def _asked(probe: Probe, vector: torch.Tensor, composed: bool) -> Verdict:
    case, inputs = probe.evidence.case, probe.evidence.inputs
    if composed:
        inputs = replace(inputs, grad_output=torch.full_like(inputs.grad_output, _FACTOR))
    found = attempt(lambda: _second(probe, vector, composed))
    if found is None or isinstance(found, Refusal):
        why = "the gradient made under create_graph does not require grad" if found is None else found.reason
        return probe.unsupported(_VARIANT, f"first order only: {why}")
    worst = part(case.loss, "curvature").judge_curvature(case, inputs, vector, found)
    if worst.ratio <= 1:
        return probe.passed(_VARIANT, double_backward="right")
    when = "of the loss times a number that requires grad " if composed else ""
    reason = (
        f"the gradient {when}requires grad under create_graph, but its derivative is off by {worst.error:.3g}, "
        f"budget {worst.budget:.3g} ({worst.ratio:.3g}×); found {worst.found:.9g}, truth {worst.expected:.9g}"
    )
    return probe.failed(_VARIANT, reason, "second_order")


def _second(probe: Probe, vector: torch.Tensor, composed: bool) -> torch.Tensor | None:
    """The gradient's derivative along ``vector``; None where the gradient says that it has none."""
    inputs = probe.evidence.inputs
    logits = leaf(inputs.logits)
    loss = probe.evidence.function(probe.evidence.case, inputs)(logits, inputs.target)
    if composed:
        loss = loss * (_FACTOR + (logits * 0.0).sum())
    (gradient,) = torch.autograd.grad(loss, logits, inputs.grad_output.to(loss.dtype), create_graph=True)
    if not gradient.requires_grad:
        return None
    # not autograd.grad: it leaves out the node by which once_differentiable raises, as that leads to no input
    gradient.backward(vector)
    return logits.grad
