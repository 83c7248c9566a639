"""``side_effects`` catches what a right answer costs its surroundings: inputs, results, the process's state, memory."""

import pytest
import torch
import torch.nn.functional as F

from harness.core.status import FAULTS, Status
from tests.checks.judging import faults, judge, plain_index
from tests.checks.right import RIGHT

KEPT: list[torch.Tensor] = []
BUFFERS: dict[tuple[object, ...], torch.Tensor] = {}


def changes_logits_behind_autograd(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    if not torch.is_grad_enabled():
        logits.data.mul_(2.0)
    return loss


def changes_and_restores(logits, target, *, reduction="mean"):
    with torch.no_grad():
        logits.mul_(2.0).mul_(0.5)
    return F.cross_entropy(logits, target, reduction=reduction)


def writes_past_the_end(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    whole = logits.detach()
    beyond = whole.untyped_storage().nbytes() // whole.itemsize - whole.storage_offset() - whole.numel()
    if beyond > 0 and whole.is_contiguous():
        whole.as_strided((1,), (1,), whole.storage_offset() + whole.numel()).fill_(0.0)
    return loss


def keeps_every_loss(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    KEPT.append(loss.detach().clone())
    return loss


def keeps_the_last_probabilities(logits, target, *, reduction="mean"):
    BUFFERS["last",] = logits.detach().softmax(1)
    return F.cross_entropy(logits, target, reduction=reduction)


def seeds(logits, target, *, reduction="mean"):
    torch.manual_seed(0)
    return F.cross_entropy(logits, target, reduction=reduction)


def sets_precision(logits, target, *, reduction="mean"):
    torch.set_float32_matmul_precision("high")
    return F.cross_entropy(logits, target, reduction=reduction)


def turns_gradients_on(logits, target, *, reduction="mean"):
    torch.set_grad_enabled(True)
    return F.cross_entropy(logits, target, reduction=reduction)


def accumulates_gradients(logits, target, *, reduction="mean"):
    if logits.requires_grad:
        F.cross_entropy(logits, target, reduction="sum").backward()
    return F.cross_entropy(logits, target, reduction=reduction)


class _Unwatched(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, reduction):
        # held outside save_for_backward, where a change would be noticed
        ctx.held, ctx.reduction = (logits.detach(), target), reduction
        return F.cross_entropy(logits, target, reduction=reduction)

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.held
        gradient = torch.softmax(logits, 1) - F.one_hot(target, logits.shape[1])
        gradient = gradient / len(target) if ctx.reduction == "mean" else gradient
        return gradient * (grad_output[:, None] if grad_output.ndim else grad_output), None, None


def trusts_the_logits_to_stay(logits, target, *, reduction="mean"):
    return _Unwatched.apply(logits, target, reduction)


class _SharedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, reduction):
        ctx.save_for_backward(logits, target)
        ctx.reduction = reduction
        return F.cross_entropy(logits, target, reduction=reduction)

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.saved_tensors
        buffer = BUFFERS.setdefault(("gradient", logits.shape, logits.dtype), torch.empty(logits.shape))
        buffer.copy_(torch.softmax(logits, 1) - F.one_hot(target, logits.shape[1]))
        if ctx.reduction == "mean":
            buffer.div_(len(target))
        return buffer.mul_(grad_output[:, None] if grad_output.ndim else grad_output).view_as(logits), None, None


def returns_its_gradient_buffer(logits, target, *, reduction="mean"):
    return _SharedGradient.apply(logits, target, reduction)


WRONG = {
    changes_logits_behind_autograd: "inputs",
    changes_and_restores: "inputs",
    writes_past_the_end: "inputs",
    accumulates_gradients: "inputs",
    keeps_every_loss: "memory",
    keeps_the_last_probabilities: "memory",
    seeds: "state",
    sets_precision: "state",
    turns_gradients_on: "state",
    trusts_the_logits_to_stay: "changed_logits",
    returns_its_gradient_buffer: "results",
}


@pytest.fixture(autouse=True)
def _put_back():
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    torch.set_grad_enabled(True)
    KEPT.clear()
    BUFFERS.clear()


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
def test_a_call_with_side_effects_is_caught(loss):
    found = faults(judge(loss, "side_effects", keep=plain_index))
    assert WRONG[loss] in found
    assert "" not in found


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_torch_passes(dtype):
    found = judge(F.cross_entropy, "side_effects", dtype=dtype, keep=lambda case: case.weight == "none")
    assert {verdict.status for _, verdict in found} == {Status.PASSED}


@pytest.mark.parametrize("loss", RIGHT)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_right_but_unusual_functions_are_not_accused(loss, dtype):
    found = judge(loss, "side_effects", dtype=dtype, keep=plain_index)
    assert not {verdict.status for _, verdict in found} & FAULTS, faults(found)
