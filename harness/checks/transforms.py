"""What torch makes of a function beside backward passes, a part of ``composition``: tangents, gradients by sample."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.autograd import forward_ad

from harness.checks.evidence import Answer, Evidence
from harness.core.case import Case
from harness.inputs.build import Inputs


def forward_mode(evidence: Evidence) -> Answer:
    """The gradient from tangents, entry by entry: ⟨grad_output, J e_i⟩, as forward-mode differentiation gives J e_i.

    Raises:
        NotImplementedError: the loss carries no tangent.
        Exception: whatever the candidate raises on dual numbers, torch's refusal for a missing rule among it.
    """
    inputs = evidence.inputs
    function = evidence.function(evidence.case, inputs)
    gradient = torch.zeros(inputs.logits.numel(), dtype=torch.float64)
    upstream, loss = inputs.grad_output.double(), None
    for at in range(gradient.numel()):
        direction = torch.zeros(gradient.numel(), dtype=inputs.logits.dtype, device=inputs.logits.device)
        direction[at] = 1.0
        with forward_ad.dual_level():
            dual = forward_ad.make_dual(inputs.logits.detach(), direction.view(inputs.logits.shape))
            loss, tangent = forward_ad.unpack_dual(function(dual, inputs.target))
            if tangent is None:
                # to be seen, as a loss that does not require grad is; torch.compile (2.13) drops tangents, too
                raise NotImplementedError("the loss has no tangent")
            gradient[at] = (upstream * tangent.double()).sum()
    answered = gradient.view(inputs.logits.shape).to(inputs.logits)
    return Answer(loss=loss, gradients={"logits": answered}, requires_grad=True)


def can_differ_by_sample(case: Case) -> bool:
    """Whether the mean of one row is its share of the sum: a loss a row, no weight, none that counts for nothing."""
    one_a_row = case.target_kind == "index" and not case.dims
    return one_a_row and case.weight == "none" and not case.ignored and case.reduction in ("mean", "sum")


def as_sum(case: Case, inputs: Inputs) -> tuple[Case, Inputs]:
    """What the answers of :func:`by_sample` are the answer to."""
    return replace(case, reduction="sum"), replace(inputs, grad_output=torch.ones_like(inputs.grad_output))


def by_sample(evidence: Evidence) -> Answer:
    """Each row's gradient by ``vmap`` over ``grad``, which is that of the sum.

    Raises:
        Exception: whatever the candidate raises when it is traced.
    """
    inputs = evidence.inputs
    function = evidence.function(evidence.case, inputs)

    def one(row: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return function(row[None], label[None])

    both = torch.func.vmap(torch.func.grad_and_value(one))
    gradients, losses = both(inputs.logits.detach(), inputs.target)
    return Answer(loss=losses.sum(), gradients={"logits": gradients}, requires_grad=True)
