"""``relations`` catches what a loss does with inputs that no suite has: tiny weights, duplicated and masked classes."""

import pytest
import torch
import torch.nn.functional as F

from harness.core.status import FAULTS, Status
from tests.checks.judging import faults, judge, plain_index
from tests.checks.right import RIGHT


def _reduced(losses, reduction):
    return {"none": lambda x: x, "mean": torch.mean, "sum": torch.sum}[reduction](losses)


def epsilon_in_the_weighted_mean(logits, target, *, weight=None, reduction="mean"):
    losses = F.cross_entropy(logits, target, weight=weight, reduction="none")
    if reduction == "mean" and weight is not None:
        return losses.sum() / (weight[target].sum() + 1e-8)
    return _reduced(losses, reduction)


def running_maximum_from_zero(logits, target, *, reduction="mean"):
    top = logits.amax(1, keepdim=True).clamp(min=0)
    shifted = logits - top
    return _reduced(shifted.exp().sum(1).log() - shifted.gather(1, target[:, None])[:, 0], reduction)


def maximum_of_the_whole_batch(logits, target, *, reduction="mean"):
    shifted = logits - logits.max()
    return _reduced(shifted.exp().sum(1).log() - shifted.gather(1, target[:, None])[:, 0], reduction)


def one_block_of_classes(logits, target, *, reduction="mean"):
    kept = torch.cat([logits[:, :400], logits[:, 400:].detach() - 1e9], 1)
    return F.cross_entropy(kept, target, reduction=reduction)


def exponentials_of_a_first_block_of_nothing(logits, target, *, reduction="mean"):
    """Online softmax whose first block, all -inf, makes exp(-inf - -inf)."""
    top, total = torch.full_like(logits[:, :1], -torch.inf), torch.zeros_like(logits[:, :1])
    for part in logits.split(4, 1):
        larger = torch.maximum(top, part.amax(1, keepdim=True))
        total = total * (top - larger).exp() + (part - larger).exp().sum(1, keepdim=True)
        top = larger
    return _reduced((total.log() + top - logits.gather(1, target[:, None]))[:, 0], reduction)


def mass_taken_for_one(logits, target, *, reduction="mean"):
    if not target.is_floating_point():
        return F.cross_entropy(logits, target, reduction=reduction)
    return _reduced(torch.logsumexp(logits, 1) - (target * logits).sum(1), reduction)


WRONG = {
    epsilon_in_the_weighted_mean: "small_weights_mean",
    running_maximum_from_zero: "equal_low",
    maximum_of_the_whole_batch: "shift_20",
    one_block_of_classes: "doubled_classes",
    exponentials_of_a_first_block_of_nothing: "masked_classes_before",
    mass_taken_for_one: "half_the_mass",
}


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
def test_a_loss_that_breaks_a_relation_is_caught(loss):
    few = loss is not one_block_of_classes  # the others need no more than the small cell

    def keep(case):
        return not case.dims and (case.classes < 100) == few and (plain_index(case) or loss is mass_taken_for_one)

    found = judge(loss, "relations", keep=keep)
    assert WRONG[loss] in faults(found)
    assert "" not in faults(found)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_torch_passes(dtype):
    found = judge(F.cross_entropy, "relations", dtype=dtype)
    assert {verdict.status for _, verdict in found} == {Status.PASSED}


@pytest.mark.parametrize("loss", RIGHT)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_right_but_unusual_functions_are_not_accused(loss, dtype):
    found = judge(loss, "relations", dtype=dtype, keep=plain_index)
    assert not {verdict.status for _, verdict in found} & FAULTS, faults(found)
