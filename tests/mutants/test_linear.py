"""Wrong forms of linear cross-entropy are caught by the check they name, unusual ones are never accused."""

from __future__ import annotations

import importlib
from functools import cache

import pytest
import torch

from harness.core.case import Case
from harness.losses.catalogue import families
from harness.losses.linear_cross_entropy.evaluate import evaluate
from harness.losses.linear_cross_entropy.inputs import build
from harness.mutants.catalogue import controls, mutants
from harness.suite import expand, load_suite

LOSS = "linear_cross_entropy"
MUTANTS = [mutant for mutant in mutants() if mutant.loss == LOSS]
CONTROLS = [control for control in controls() if control.loss == LOSS]


@cache
def cases() -> tuple[Case, ...]:
    """The cells of the suite that `check` judges by, with a gradient, smallest first."""
    suite = load_suite("correctness", families())
    mine = [case for case in expand(suite, families()) if case.loss == LOSS and case.needs_gradient]
    return tuple(sorted(mine, key=lambda case: case.elements))


@cache
def inputs_of(case: Case):
    return build(case)


def values_at_fault(reference: str, case: Case) -> set[str]:
    """The values (loss, grad_input, …) of which some entry is off by more than its budget, or which are missing."""
    module, _, name = reference.partition(":")
    inputs = inputs_of(case)
    named = {"logits": inputs.logits, **inputs.others}
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in named.items()}
    loss = getattr(importlib.import_module(module), name)(
        leaves["logits"], leaves["linear_weight"], inputs.target, linear_bias=leaves.get("linear_bias"),
        weight=inputs.weight, reduction=case.reduction, ignore_index=case.ignore_index,
        label_smoothing=case.label_smoothing,
    )  # fmt: skip
    found = torch.autograd.grad(loss, tuple(leaves.values()), inputs.grad_output.to(loss.dtype), allow_unused=True)
    gradients = {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}
    evaluation = evaluate(case, inputs, loss.detach(), gradients)
    wrong = {r.value for r in evaluation.regions if r.mismatches or r.worst["standard"].ratio > 1.0}
    return wrong | {f"grad_{name}" for name in leaves.keys() - gradients.keys()}


def supported(subject, case: Case) -> bool:
    """A subject may declare fewer dtypes and kinds of target."""
    narrow = {"logits_in_bfloat16": case.dtype == "float32"}
    return narrow.get(subject.name, True) and case.target_kind == "index"


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_where_it_says(mutant):
    for check in set(mutant.caught_by) & {"agreement", "gradient"}:
        seen = (values_at_fault(mutant.reference, case) for case in cases() if supported(mutant, case))
        assert any(("loss" in wrong) if check == "agreement" else (wrong - {"loss"}) for wrong in seen), check


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_a_control_is_never_accused(control):
    judged = [case for case in cases() if supported(control, case) and case.elements < 20_000]
    assert len(judged) > 40
    accused = {case.cell: wrong for case in judged if (wrong := values_at_fault(control.reference, case))}
    assert accused == {}
