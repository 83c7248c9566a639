"""The rounding residue of a row may stand where autograd leaves it; a wrong entry in the same place may not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs, build_inputs
from harness.losses.cross_entropy.evaluate import evaluate
from harness.mutants.controls_sums import maximum_not_detached

CASE = Case(batch=8, classes=1000, regime="sigma10", reduction="none", grad_output="random")


def undetached(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """log Σ exp(x - x_t): the target's gradient is minus the sum of the others."""
    return torch.logsumexp(logits - logits.gather(1, target[:, None]), 1)


def ratio(case: Case, inputs: Inputs, gradient: torch.Tensor, grade: str = "standard") -> float:
    found = evaluate(case, inputs, None, {"logits": gradient})
    return max(region.worst[grade].ratio for region in found.regions)


def gradient_of(case: Case, inputs: Inputs) -> torch.Tensor:
    logits = inputs.logits.clone().requires_grad_()
    return torch.autograd.grad(undetached(logits, inputs.target), logits, inputs.grad_output)[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_target_column_that_is_minus_the_sum_of_the_others_is_right(dtype: str) -> None:
    case = replace(CASE, dtype=dtype)
    inputs = build_inputs(case)
    gradient = gradient_of(case, inputs)
    assert ratio(case, inputs, gradient) <= 1
    assert ratio(case, inputs, gradient, "tight") > 1  # or nothing is put to the test


def test_the_same_error_in_a_row_out_of_sum_is_wrong() -> None:
    inputs = build_inputs(CASE)
    gradient = gradient_of(CASE, inputs)
    at = (torch.arange(CASE.batch), inputs.target)
    error = gradient.double().sum(1)
    gradient[at] += torch.where(error < 0, -1, 1) * 4e-5 * inputs.grad_output.abs()
    assert ratio(CASE, inputs, gradient) > 1


def test_the_target_mistaken_for_the_largest_class_is_wrong_although_its_rows_are_in_sum() -> None:
    inputs = build_inputs(CASE)
    mistaken = replace(inputs, target=inputs.logits.argmax(1))
    gradient = gradient_of(CASE, mistaken)
    assert (mistaken.target != inputs.target).any()
    assert float(gradient.double().sum(1).abs().max()) < 1e-4
    assert ratio(CASE, inputs, gradient) > 1e3


def test_a_zeroed_largest_class_is_seen_at_a_quarter_of_a_million_classes() -> None:
    case = Case(batch=2, classes=262144, reduction="none")
    inputs = build_inputs(case)
    logits = inputs.logits.clone().requires_grad_()
    loss = torch.nn.functional.cross_entropy(logits, inputs.target, reduction="none")
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    gradient[torch.arange(2), inputs.logits.argmax(1)] = 0
    assert ratio(case, inputs, gradient) > 10


def test_the_loss_of_a_logit_of_infinity_is_nan_or_its_limit_and_nothing_finite() -> None:
    case = Case(batch=4, classes=5, reduction="none")
    inputs = build_inputs(case)
    inputs.logits[1, (int(inputs.target[1]) + 1) % 5] = torch.inf
    truth = torch.nn.functional.cross_entropy(inputs.logits, inputs.target, reduction="none")
    for value, mismatches in ((torch.nan, 0), (torch.inf, 0), (3.0, 1), (-torch.inf, 1)):
        loss = truth.clone()
        loss[1] = value
        found = evaluate(case, inputs, loss, {})
        assert sum(region.mismatches for region in found.regions) == mismatches


def test_with_smoothing_the_residue_may_stand_at_the_largest_logit() -> None:
    case = Case(batch=8, classes=4099, reduction="none", grad_output="random", label_smoothing=0.1)
    inputs = build_inputs(case)
    logits = inputs.logits.clone().requires_grad_()
    losses = maximum_not_detached(logits, inputs.target, reduction="none", label_smoothing=0.1)
    (gradient,) = torch.autograd.grad(losses, logits, inputs.grad_output)
    assert ratio(case, inputs, gradient) <= 1
    assert ratio(case, inputs, gradient, "tight") > 1  # or nothing is put to the test
    rows = torch.arange(case.batch)
    gradient[rows, logits.argmax(1)] *= 1.01
    assert ratio(case, inputs, gradient) > 1
