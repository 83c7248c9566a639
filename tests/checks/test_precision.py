"""``precision`` finds sums kept in half precision, and what autocast breaks."""

import pytest
import torch

from harness.core.status import Status
from tests.checks.composed import composed, torch_loss
from tests.checks.judging import judge, reasons


def mean_in_bfloat16(logits, target, *, reduction="mean"):
    """Chunks of 64 rows are added up in the dtype of the logits."""
    losses = torch_loss(logits.float(), target, reduction="none")
    if reduction == "none":
        return losses.to(logits.dtype)
    total = logits.new_zeros(())
    for chunk in losses.split(64):
        total = total + chunk.sum().to(logits.dtype)
    return total / len(losses) if reduction == "mean" else total


def exponentials_summed_in_half(logits):
    shifted = logits - logits.amax(1, keepdim=True)
    total = torch.zeros(len(logits), 1)
    for chunk in shifted.exp().split(64, 1):
        total = (total + chunk.sum(1, keepdim=True)).to(torch.bfloat16).float()
    return shifted - total.log()


class _BackwardForgetsAutocast(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        ctx.save_for_backward(logits, target)
        ctx.cast = torch.is_autocast_enabled("cpu")
        return torch_loss(logits, target)

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.saved_tensors
        gradient = torch.softmax(logits.float(), 1)
        gradient[torch.arange(len(target)), target] -= 1
        scale = 1 if ctx.cast else 1 / len(target)
        return (gradient * scale * grad_output).to(logits.dtype), None


def wrong_under_autocast(logits, target):
    return _BackwardForgetsAutocast.apply(logits, target)


def refuses_autocast(logits, target):
    if torch.is_autocast_enabled("cpu"):
        raise RuntimeError("not under autocast")
    return torch_loss(logits, target)


def test_chunks_added_in_half_precision_are_found():
    assert "16384 rows" in reasons(judge(mean_in_bfloat16, "precision", dtype="bfloat16"))[0]


def test_a_row_summed_in_half_precision_is_found():
    wrong = composed(log_probabilities=exponentials_summed_in_half)
    found = judge(wrong, "precision", dtype="bfloat16", keep=lambda case: case.classes > 6)
    assert "normal classes" in reasons(found)[0]


def test_what_autocast_breaks_is_found():
    found = {v.variant: v for _, v in judge(wrong_under_autocast, "precision")}
    assert found[""].status is Status.PASSED
    assert found["autocast"].status is Status.FAILED
    assert "grad_logits" in found["autocast"].reason


def test_a_refusal_of_autocast_is_no_fault():
    found = {v.variant: v for _, v in judge(refuses_autocast, "precision")}
    assert found["autocast"].status is Status.UNSUPPORTED


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_right_one_passes(dtype):
    assert {v.status for _, v in judge(composed(), "precision", dtype=dtype)} == {Status.PASSED}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_autocast_asks_for_no_more_than_the_dtype_of_the_input_can_hold(dtype):
    found = judge(torch_loss, "precision", dtype=dtype, keep=lambda case: case.classes > 6, grade="tight")
    assert {v.status for _, v in found if v.variant == "autocast"} == {Status.PASSED}


def test_what_autocast_breaks_in_float16_is_found():
    found = {v.variant: v for _, v in judge(wrong_under_autocast, "precision", dtype="float16")}
    assert found["autocast"].status is Status.FAILED
