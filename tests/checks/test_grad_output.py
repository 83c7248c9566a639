"""``grad_output`` catches a backward that is right for an upstream gradient of one alone, and nothing else."""

import pytest
import torch
import torch.nn.functional as F

from harness.core.status import FAULTS, Status
from tests.checks.judging import faults, judge, plain_index
from tests.checks.right import RIGHT, _GradientInForward


def with_backward(scale):
    """Cross-entropy whose saved gradient ``scale`` turns into that of the logits: (saved, grad_output) → gradient."""

    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, target, reduction):
            loss = _GradientInForward.forward(ctx, logits, target, reduction)
            (ctx.gradient,) = ctx.to_save
            return loss

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, grad_output):
            return scale(ctx.gradient, grad_output), None, None

    def loss(logits, target, *, reduction="mean"):
        return Loss.apply(logits, target, reduction)

    return loss


def rows(grad_output):
    return grad_output[:, None] if grad_output.ndim else grad_output


def in_place(saved, grad_output):
    return saved.mul_(rows(grad_output))


def only_first(saved, grad_output):
    return saved * grad_output.reshape(-1)[0]


def as_if_contiguous(saved, grad_output):
    flat = grad_output.as_strided((grad_output.numel(),), (1,)) if grad_output.ndim else grad_output
    return saved * rows(flat)


WRONG = {
    "ignored": (lambda saved, grad_output: saved.clone(), "zero"),
    "first entry for all": (only_first, "random"),
    "in place": (in_place, "twice"),
    "read as contiguous": (as_if_contiguous, "sliced"),
    "skipped when zero": (lambda saved, g: saved * torch.where(g == 0, 1.0, g).reshape(-1, 1), "zero"),
    "sign lost": (lambda saved, g: saved * rows(g).abs(), "negative"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_backward_that_misuses_grad_output_is_caught(name):
    scale, variant = WRONG[name]
    found = faults(judge(with_backward(scale), "grad_output", keep=plain_index))
    assert variant in found
    assert "" not in found  # with ones from above it is right


def test_a_differentiable_backward_with_a_wrong_derivative_is_caught():
    class Loss(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, target):
            ctx.save_for_backward(logits, target)
            return F.cross_entropy(logits, target)

        @staticmethod
        def backward(ctx, grad_output):
            logits, target = ctx.saved_tensors
            p = torch.softmax(logits, 1)
            # what depends on the logits is cut off, but for a term that is 0 in value
            gradient = (p - F.one_hot(target, p.shape[1])).detach() + (p - p.detach())[:, :1] * 0.5
            return gradient / len(target) * grad_output, None

    def loss(logits, target):
        return Loss.apply(logits, target)

    found = judge(loss, "grad_output", keep=lambda case: plain_index(case) and case.reduction == "mean")
    assert set(faults(found)) == {"create_graph"}


def test_a_constant_gradient_that_seems_differentiable_is_caught():
    class Loss(torch.autograd.Function):
        forward = _GradientInForward.forward

        @staticmethod
        def backward(ctx, grad_output):
            return ctx.saved_tensors[0] * grad_output, None, None

    def loss(logits, target, *, reduction="mean"):
        return Loss.apply(logits, target, reduction)

    found = judge(loss, "grad_output", keep=lambda case: plain_index(case) and case.reduction == "mean")
    assert set(faults(found)) == {"create_graph"}


def test_a_probability_target_without_a_gradient_is_caught():
    def loss(logits, target, *, reduction="mean"):
        return F.cross_entropy(logits, target.detach() if target.is_floating_point() else target, reduction=reduction)

    found = faults(judge(loss, "grad_output", keep=lambda case: not case.dims and case.weight == "none"))
    assert set(found) == {"requires_target", "requires_logits_target"}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_torch_passes(dtype):
    found = judge(F.cross_entropy, "grad_output", dtype=dtype)
    assert {verdict.status for _, verdict in found} == {Status.PASSED}


@pytest.mark.parametrize("loss", RIGHT)
def test_right_but_unusual_functions_are_not_accused(loss):
    dtypes = ("float32", "bfloat16") if loss.__name__ != "chunked" else ("bfloat16",)
    for dtype in dtypes:
        found = judge(loss, "grad_output", dtype=dtype, keep=plain_index)
        assert not {verdict.status for _, verdict in found} & FAULTS, faults(found)
