"""``layout`` finds strides that are assumed, and takes an error for an honest refusal."""

import pytest
import torch

from harness.core.status import Status
from tests.checks.composed import torch_loss
from tests.checks.judging import judge, reasons


def two_dimensions(case):
    return not case.dims and case.target_kind == "index" and case.weight == "none" and not case.label_smoothing


def row_stride_is_c(logits, target, *, reduction="mean"):
    """Looks at the last stride alone."""
    if logits.stride(-1) == 1:
        rows, classes = logits.shape
        logits = logits.as_strided((rows, classes), (classes, 1))
    return torch_loss(logits, target, reduction=reduction)


def misses_the_storage_offset(logits, target, *, reduction="mean"):
    """Rounds an unaligned address down to 16 bytes."""
    beyond = logits.storage_offset() % 4
    if logits.is_contiguous() and beyond:
        logits = logits.as_strided(logits.shape, logits.stride(), logits.storage_offset() - beyond)
    return torch_loss(logits, target, reduction=reduction)


def target_stride_is_one(logits, target, *, reduction="mean"):
    if target.ndim == 1 and target.stride(0) > 1:
        target = target.as_strided(target.shape, (1,))
    return torch_loss(logits, target, reduction=reduction)


def reads_narrow_targets_as_wide(logits, target, *, reduction="mean"):
    if target.dtype == torch.int32:
        target = (target + (target.roll(1) * 0).long()).roll(1)
    return torch_loss(logits, target, reduction=reduction)


def softmax_over_the_last_dimension(logits, target, *, reduction="mean"):
    if logits.ndim < 4:
        return torch_loss(logits, target, reduction=reduction)
    logp = torch.log_softmax(logits, -1)
    losses = -logp.gather(1, target.unsqueeze(1)).squeeze(1)
    return losses if reduction == "none" else losses.mean()


def needs_contiguous_logits_in_4d(logits, target, *, reduction="mean"):
    if logits.ndim == 4 and reduction == "none" and not logits.is_contiguous():
        raise RuntimeError("expected contiguous input")
    return torch_loss(logits, target, reduction=reduction)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (row_stride_is_c, "logits: sliced rows"),
        (misses_the_storage_offset, "logits: offset of"),
        (target_stride_is_one, "target: a column of a matrix"),
        (reads_narrow_targets_as_wide, "target of int32"),
        (softmax_over_the_last_dimension, "logits: contiguous"),
        (needs_contiguous_logits_in_4d, "expected contiguous input"),
    ],
)
def test_an_assumed_layout_is_found(wrong, told):
    keep = (lambda case: bool(case.dims)) if "4d" in wrong.__name__ or "last" in wrong.__name__ else two_dimensions
    assert told in reasons(judge(wrong, "layout", keep=keep))[0]


def with_options(case):
    return case.target_kind == "index" and bool(case.dims)


@pytest.mark.parametrize("forgotten", ["weight", "label_smoothing", "ignore_index"])
def test_an_option_forgotten_in_strided_dimensions_is_found(forgotten):
    default = {"weight": None, "label_smoothing": 0.0, "ignore_index": -100}

    def loss(logits, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
        if logits.ndim > 2 and not logits.is_contiguous():
            options[forgotten] = default[forgotten]
        return torch_loss(logits, target, reduction=reduction, **options)

    assert "logits: classes last" in reasons(judge(loss, "layout", keep=with_options))[0]


def test_probabilities_misread_in_dimensions_are_found():
    def loss(logits, target, *, weight=None, reduction="mean", label_smoothing=0.0):
        if target.is_floating_point() and target.ndim > 2 and not target.is_contiguous():
            target = target.as_strided(target.shape, torch.empty(target.shape).stride(), target.storage_offset())
        return torch_loss(logits, target, weight=weight, reduction=reduction, label_smoothing=label_smoothing)

    found = reasons(judge(loss, "layout", keep=lambda case: case.target_kind != "index"))
    assert "probabilities: classes last" in found[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_passes(dtype):
    assert {v.status for _, v in judge(torch_loss, "layout", dtype=dtype)} == {Status.PASSED}


def test_a_layout_that_every_call_refuses_is_unsupported():
    def contiguous_only(logits, target, *, reduction="mean"):
        if not logits.is_contiguous():
            raise ValueError("logits must be contiguous")
        return torch_loss(logits, target, reduction=reduction)

    found = {v.variant: v for _, v in judge(contiguous_only, "layout", keep=two_dimensions)}
    assert found[""].status is Status.PASSED
    assert found["logits:_transposed"].status is Status.UNSUPPORTED
    assert "must be contiguous" in found["logits:_transposed"].reason
