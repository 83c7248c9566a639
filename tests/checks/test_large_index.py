"""``large_index`` finds offsets kept in 32 bits, with little memory; above 2^31 elements it says what it lacks."""

import torch

from harness.checks import large_index
from harness.core.case import Case
from harness.core.status import Status
from tests.checks.composed import composed, torch_loss
from tests.checks.judging import judge, reasons


def wrapped(number, bits=32):
    """``number`` as a signed integer of ``bits`` bits."""
    half = 1 << (bits - 1)
    return (number + half) % (1 << bits) - half


class _RowsAt32BitOffsets(torch.autograd.Function):
    """Each row is found by row · stride in 32 bits, as a kernel with an int32 row number does."""

    @staticmethod
    def forward(ctx, logits, target):
        start, (stride, step) = logits.storage_offset(), logits.stride()
        starts = [start + wrapped(row * stride) for row in range(len(logits))]
        values = torch.stack([logits.as_strided(logits.shape[1:], (step,), row) for row in starts])
        ctx.save_for_backward(values, target)
        return torch_loss(values, target)

    @staticmethod
    def backward(ctx, grad_output):
        values, target = ctx.saved_tensors
        gradient = torch.softmax(values, 1)
        gradient[torch.arange(len(target)), target] -= 1
        return gradient * grad_output / len(target), None


def rows_at_32_bit_offsets(logits, target):
    return torch_loss(logits, target) if logits.ndim > 2 else _RowsAt32BitOffsets.apply(logits, target)


def forgets_what_lies_beyond(logits, target, *, reduction="none"):
    """Right up to element 2^16 (2^31, scaled down), silent beyond."""
    whole = torch_loss(logits, target, reduction="none")
    first = torch.arange(whole.numel()).reshape(whole.shape) * logits.shape[1] < 1 << 16
    return torch.where(first, whole, whole.detach() * 0)


def test_rows_at_32_bit_offsets_are_found():
    assert "strides" in reasons(judge(rows_at_32_bit_offsets, "large_index"))[0]


def test_torch_passes():
    assert {v.status for _, v in judge(torch_loss, "large_index")} == {Status.PASSED}
    assert {v.status for _, v in judge(composed(), "large_index", keep=lambda c: not c.dims)} == {Status.PASSED}


def only_wide(monkeypatch):
    case = Case(batch=4, classes=256, reduction="none", grad_output="random", options=(("index", "wide"),))
    monkeypatch.setattr("tests.checks.judging.own_cases", lambda check, anchor, thorough: [case])


def test_more_elements_than_32_bits_count_are_judged_at_their_last_rows(monkeypatch):
    only_wide(monkeypatch)
    monkeypatch.setattr(large_index, "_INT32", 1 << 16)
    assert {v.status for _, v in judge(torch_loss, "large_index")} == {Status.PASSED}
    assert "rows" in reasons(judge(forgets_what_lies_beyond, "large_index"))[0]


def test_what_does_not_fit_is_skipped_with_its_numbers(monkeypatch):
    only_wide(monkeypatch)
    monkeypatch.setattr(large_index, "available_memory_bytes", lambda: 1 << 30)
    ((_, verdict),) = judge(torch_loss, "large_index")
    assert verdict.status is Status.SKIPPED
    assert "GiB of 1.0 available here" in verdict.reason
