"""``options`` finds faults that only a product of options shows, and accuses no right implementation."""

import pytest
import torch

from harness.checks.cases.options import cases
from harness.core.case import Case
from harness.core.status import Status
from tests.checks.composed import composed, torch_loss
from tests.checks.judging import judge, reasons


def drops_weights_from_the_smoothing_sum(
    logits, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0
):
    """Right in every pair of options; wrong where weight, smoothing and an ignored row meet under sum."""
    triple = weight is not None and label_smoothing and reduction == "sum" and bool((target == ignore_index).any())
    loss = composed(smooth=lambda logp, w: -logp.mean(1)) if triple else composed()
    return loss(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


def raises_on_a_sentinel_above_c(logits, target, *, ignore_index=-100, reduction="mean"):
    if reduction == "none" and ignore_index >= logits.shape[1]:
        raise IndexError("target out of range")
    return torch_loss(logits, target, ignore_index=ignore_index, reduction=reduction)


def masks_the_ignored_class(logits, target, *, ignore_index=-100, reduction="mean"):
    """Takes an in-range ignore_index out of the denominator, not only its rows out of the loss."""
    if 0 <= ignore_index < logits.shape[1]:
        logits = logits.index_fill(1, torch.tensor([ignore_index]), -1e4)
    return torch_loss(logits, target, ignore_index=ignore_index, reduction=reduction)


def returns_a_vector_of_one(logits, target, *, reduction="mean"):
    loss = torch_loss(logits, target, reduction=reduction)
    return loss.reshape(1) if reduction == "mean" else loss


def detached(logits, target, *, reduction="mean"):
    return torch_loss(logits, target, reduction=reduction).detach()


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (drops_weights_from_the_smoothing_sum, "reduction=sum, weight=zeros"),
        (raises_on_a_sentinel_above_c, "ignore_index=12"),
        (masks_the_ignored_class, "ignore_index=3"),
        (returns_a_vector_of_one, "shape"),
        (detached, "require grad"),
        (composed(smooth=lambda logp, weight: -logp.mean(1)), "label_smoothing"),
    ],
)
def test_a_fault_in_a_product_of_options_is_found(wrong, told):
    found = reasons(judge(wrong, "options", keep=lambda case: case.target_kind == "index"))
    assert told in found[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("right", [torch_loss, composed()])
def test_right_ones_pass(right, dtype):
    keep = (lambda case: True) if right is torch_loss else (lambda case: case.target_kind == "index")
    assert {verdict.status for _, verdict in judge(right, "options", dtype=dtype, keep=keep)} == {Status.PASSED}


def test_every_set_of_options_has_a_cell_of_its_own():
    """A signature that lacks an option is then unsupported on the cells that need it, and on no others."""
    found = {
        (case.target, case.weight != "none", case.label_smoothing > 0, case.ignored > 0)
        for case in cases(Case(batch=2, classes=3), False)
    }
    assert len(found) == 8 + 4
