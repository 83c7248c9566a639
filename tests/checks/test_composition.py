"""``composition`` catches what is silently wrong inside checkpointing, autocast, a larger graph or a compiler."""

import pytest
import torch
import torch.nn.functional as F

from harness.core.status import FAULTS, Status
from tests.checks.judging import faults, judge, plain_index
from tests.checks.right import RIGHT


class _WritesToGrad(torch.autograd.Function):
    """Adds the gradient to ``logits.grad`` by itself where logits are a leaf, and hands on nothing else."""

    @staticmethod
    def forward(ctx, logits, target):
        ctx.save_for_backward(logits, target)
        ctx.is_leaf = logits.grad_fn is None
        return F.cross_entropy(logits, target)

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.saved_tensors
        gradient = (torch.softmax(logits, 1) - F.one_hot(target, logits.shape[1])) / len(target) * grad_output
        return (gradient if ctx.is_leaf else torch.zeros_like(gradient)), None


def serves_leaves_only(logits, target):
    return _WritesToGrad.apply(logits, target)


class _GradientInPlaceOfLogits(torch.autograd.Function):
    """Writes the gradient into the memory of the logits during the forward, as fused kernels do to save memory."""

    @staticmethod
    def forward(ctx, logits, target):
        loss = F.cross_entropy(logits.float(), target).to(logits.dtype)
        gradient = torch.softmax(logits.float(), 1) - F.one_hot(target, logits.shape[1])
        logits.data.copy_(gradient / len(target))
        ctx.save_for_backward(logits)
        return loss

    @staticmethod
    def backward(ctx, grad_output):
        return ctx.saved_tensors[0] * grad_output, None


def overwrites_its_logits(logits, target):
    return _GradientInPlaceOfLogits.apply(logits, target)


def narrow_under_autocast(logits, target):
    x = logits
    if torch.is_autocast_enabled("cpu"):
        x = (logits / 8).to(torch.float8_e4m3fn).float() * 8
    return F.cross_entropy(x, target)


WRONG = {
    serves_leaves_only: "inner_node",
    overwrites_its_logits: "checkpoint",
    narrow_under_autocast: "autocast",
}


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
def test_a_loss_that_is_silently_wrong_in_company_is_caught(loss):
    found = faults(judge(loss, "composition", dtype="bfloat16" if loss is not narrow_under_autocast else "float32"))
    assert WRONG[loss] in found
    assert "" not in found


def test_a_loss_that_cannot_be_traced_is_unsupported_there_and_no_fault():
    def prints_a_value(logits, target):
        loss = F.cross_entropy(logits, target)
        return loss if float(loss.detach()) > 0 else loss * 1.0

    found = {verdict.variant: verdict for _, verdict in judge(prints_a_value, "composition", keep=plain_index)}
    assert found["compile"].status is Status.UNSUPPORTED
    assert not {verdict.status for verdict in found.values()} & FAULTS


def test_torch_passes():
    found = judge(F.cross_entropy, "composition")
    assert {verdict.status for _, verdict in found} == {Status.PASSED}


@pytest.mark.parametrize("loss", RIGHT)
def test_right_but_unusual_functions_are_not_accused(loss):
    for dtype in ("float32", "bfloat16"):
        found = judge(loss, "composition", dtype=dtype, keep=plain_index)
        assert not {verdict.status for _, verdict in found} & FAULTS, faults(found)
