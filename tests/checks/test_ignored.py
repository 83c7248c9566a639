"""``ignored`` finds whatever ignored rows leak into, and what the least sizes break."""

import pytest
import torch

from harness.core.status import Status
from tests.checks.composed import composed, torch_loss
from tests.checks.judging import judge, reasons


def index(case):
    return case.target_kind == "index"


def multiplies_by_the_mask(logits, target, *, ignore_index=-100, reduction="mean"):
    """0 · NaN is NaN: what stands in an ignored row reaches the loss."""
    kept = target != ignore_index
    logp = torch.log_softmax(logits, 1)
    losses = -logp.gather(1, torch.where(kept, target, 0)[:, None])[:, 0] * kept
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / kept.sum()


class _LeavesIgnoredGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, ignore_index):
        ctx.save_for_backward(logits, target)
        ctx.ignore_index = ignore_index
        return torch_loss(logits, target, ignore_index=ignore_index)

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.saved_tensors
        kept = target != ctx.ignore_index
        gradient = torch.softmax(logits, 1)
        gradient[kept, target[kept]] -= 1
        if ctx.ignore_index == -100:
            gradient = gradient * kept[:, None]
        return gradient * grad_output / kept.sum(), None, None


def gradient_of_ignored_rows(logits, target, *, ignore_index=-100):
    """Zero only for the default sentinel."""
    return _LeavesIgnoredGradient.apply(logits, target, ignore_index)


def zero_for_no_rows(logits, target, *, reduction="mean"):
    return logits.sum() if reduction == "mean" and not len(logits) else torch_loss(logits, target, reduction=reduction)


def raises_on_no_rows(logits, target, *, reduction="mean"):
    if not len(logits):
        raise RuntimeError("empty input")
    return torch_loss(logits, target, reduction=reduction)


def negative_sentinel_divides_by_n(total, mass, kept, ignore_index):
    return total / (len(kept) if ignore_index < 0 else mass.sum())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (multiplies_by_the_mask, "nan where the truth is"),
        (gradient_of_ignored_rows, "grad_logits[ignored]"),
        (zero_for_no_rows, "no rows"),
        (raises_on_no_rows, "no rows"),
        (composed(divide=negative_sentinel_divides_by_n), "ignored rows"),
        (composed(divide=lambda total, mass, kept, _: total / mass.sum().clamp(min=1)), "all rows ignored"),
    ],
)
def test_a_leak_is_found(wrong, told):
    assert told in reasons(judge(wrong, "ignored", keep=index))[0]


def test_a_right_one_passes_everywhere():
    assert {v.status for _, v in judge(composed(), "ignored", keep=index)} == {Status.PASSED}


def test_torch_is_wrong_in_the_ignored_rows_own_gradient_alone():
    found = judge(torch_loss, "ignored")
    assert {v.region for _, v in found if v.status is Status.FAILED} == {"ignored"}
    assert all("of +inf" in v.reason for _, v in found if v.status is Status.FAILED)
