"""Relations of linear cross-entropy: right answers obey them, and answers that look at what cannot matter do not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from harness.checks.relation_linear import related, starting_inputs
from harness.losses.linear_cross_entropy.allowed import allowed_losses
from harness.losses.linear_cross_entropy.describe import FAMILY
from harness.losses.linear_cross_entropy.inputs import build


def losses(inputs, hidden=None):
    others = inputs.others
    logits = F.linear(inputs.logits if hidden is None else hidden, others["linear_weight"], others.get("linear_bias"))
    return F.cross_entropy(logits, inputs.target, reduction="none").double().numpy()


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("bias", ["none", "normal"])
def test_torch_obeys_every_relation_within_both_budgets(bias, dtype):
    case = FAMILY.case(batch=6, classes=12, reduction="none", dtype=dtype, linear_bias=bias)
    start = starting_inputs(case, build(case))
    base, budget = losses(start), allowed_losses(case, start)
    names = []
    for relation in related(case, start):
        found, allowed = losses(relation.inputs), allowed_losses(relation.case, relation.inputs)
        left, right = relation.sides(len(found), len(base))
        assert (abs(left @ found - right @ base) <= abs(left) @ allowed + abs(right) @ budget).all(), relation.name
        names.append(relation.name)
    assert len(names) == len(set(names)) == 7 + (bias == "normal")


def test_shifts_are_exact_so_that_only_the_loss_itself_can_tell():
    case = FAMILY.case(batch=6, classes=12, reduction="none", dtype="bfloat16")
    start = starting_inputs(case, build(case))
    shifted = next(relation for relation in related(case, start) if relation.name == "shifted_weight")
    difference = shifted.inputs.others["linear_weight"].double() - start.others["linear_weight"].double()
    assert torch.equal(difference, difference[:1].expand_as(difference))


def test_a_loss_that_forgets_the_largest_logit_breaks_the_shift():
    case = FAMILY.case(batch=6, classes=12, reduction="none")
    start = starting_inputs(case, build(case))
    shifted = next(relation for relation in related(case, start) if relation.name == "shifted_weight")
    # a soft cap of the logits: right only where they are small
    capped = [torch.tanh(F.linear(i.logits, i.others["linear_weight"]) / 8) * 8 for i in (start, shifted.inputs)]
    one, other = (F.cross_entropy(logits, start.target, reduction="none").double().numpy() for logits in capped)
    budgets = allowed_losses(case, start) + allowed_losses(case, shifted.inputs)
    assert (abs(one - other) > budgets).any()


def test_a_chunk_boundary_cannot_matter():
    case = FAMILY.case(batch=6, classes=12, reduction="none")
    start = starting_inputs(case, build(case))
    halves = {r.name: r for r in related(case, start)}
    assert halves["first_half"].case == replace(case, batch=3)
    assert halves["rows_twice"].inputs.logits.shape == (12, 16)
