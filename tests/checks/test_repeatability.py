"""``repeatability`` catches answers that depend on earlier calls, on memory never written, or on a row's place."""

import itertools
import platform

import pytest
import torch
import torch.nn.functional as F

from harness.checks.dirty_memory import dirty_memory
from harness.core.case import Case
from harness.core.status import FAULTS, Status
from harness.inputs.build import build_inputs
from tests.checks.judging import faults, judge, plain_index
from tests.checks.right import RIGHT

SEEN: dict[object, torch.Tensor] = {}
COUNT = itertools.count()


def remembers_by_address(logits, target, *, reduction="mean"):
    key = (logits.data_ptr(), logits.shape)
    if key not in SEEN:
        SEEN[key] = F.cross_entropy(logits, target, reduction=reduction)
        return SEEN[key]
    return F.cross_entropy(logits, target, reduction=reduction) * 0 + SEEN[key].detach()


def sized_by_the_first_call(logits, target, *, reduction="mean"):
    classes = SEEN.setdefault("classes", torch.tensor(logits.shape[1]))
    return F.cross_entropy(logits[:, : int(classes)], target.clamp(max=int(classes) - 1), reduction=reduction)


def skips_its_fourth_call(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    return loss * 2 if next(COUNT) % 8 == 3 else loss


class _LeavesIgnoredUnwritten(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target, ignore_index, reduction):
        kept = target != ignore_index
        loss = torch.empty(len(target), dtype=logits.dtype)
        if SEEN.setdefault("first", torch.tensor(True)):
            loss.zero_()  # memory fresh from the system holds 0
            SEEN["first"] = torch.tensor(False)
        loss[kept] = F.cross_entropy(logits[kept], target[kept], reduction="none")
        ctx.save_for_backward(logits, target)
        ctx.ignore_index = ignore_index
        return loss if reduction == "none" else loss.sum()

    @staticmethod
    def backward(ctx, grad_output):
        logits, target = ctx.saved_tensors
        x = logits.detach().requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(x, target, ignore_index=ctx.ignore_index, reduction="none")
        return torch.autograd.grad(loss, x, grad_output.expand(len(target)))[0], None, None, None


def leaves_ignored_rows_unwritten(logits, target, *, ignore_index=-100, reduction="mean"):
    if reduction == "mean":
        return F.cross_entropy(logits, target, ignore_index=ignore_index)
    return _LeavesIgnoredUnwritten.apply(logits, target, ignore_index, reduction)


WRONG = {
    remembers_by_address: ("same_storage", plain_index),
    sized_by_the_first_call: ("shapes", plain_index),
    skips_its_fourth_call: ("repeated", lambda case: plain_index(case) and case.reduction == "none"),
    leaves_ignored_rows_unwritten: ("freed_memory", lambda case: case.ignored > 0),
}


@pytest.fixture(autouse=True)
def _put_back():
    global COUNT  # noqa: PLW0603
    SEEN.clear()
    COUNT = itertools.count()
    yield
    SEEN.clear()


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
def test_an_answer_that_depends_on_the_past_is_caught(loss):
    variant, keep = WRONG[loss]
    found = faults(judge(loss, "repeatability", keep=keep))
    assert variant in found
    assert "" not in found


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a wish that only glibc's malloc fulfils")
@pytest.mark.parametrize("size", [1, 8, 300, 70_000])
@pytest.mark.parametrize("fill", [1e30, -1.0, 0.5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_new_memory_is_dirty_whatever_the_heap_looks_like(size, fill, dtype):
    inputs = build_inputs(Case(batch=8, classes=10))
    with dirty_memory(inputs, fill):
        found = [torch.empty(size, dtype=dtype) for _ in range(32)]
    near = [(one.double() / fill).sub(1.25).abs().max() < 0.75 for one in found]
    assert sum(near) >= 28  # a block that glibc had set aside may come as it was left
    with dirty_memory(inputs, float("nan")):
        pass
    assert torch.zeros(size).eq(0).all()


def test_sums_in_another_order_from_call_to_call_are_no_fault_and_reported():
    def shuffled(logits, target, *, reduction="mean"):
        order = torch.arange(logits.shape[1]).roll(next(COUNT))
        x = logits.double()[:, order].float()
        total = torch.zeros(len(x))
        top = logits.amax(1, keepdim=True)
        for column in (x - top).exp().unbind(1):
            total = total + column
        losses = total.log() - (logits - top).gather(1, target[:, None])[:, 0]
        return {"none": losses, "mean": losses.mean()}[reduction]

    found = judge(shuffled, "repeatability", keep=plain_index)
    assert not faults(found)
    bitwise = [v.details["bitwise"] for _, v in found if v.variant == "repeated"]
    assert not all(bitwise)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_torch_passes_bit_for_bit(dtype):
    found = judge(F.cross_entropy, "repeatability", dtype=dtype)
    assert {verdict.status for _, verdict in found} == {Status.PASSED}
    assert all(verdict.details["bitwise"] for _, verdict in found if verdict.variant == "repeated")


@pytest.mark.parametrize("loss", RIGHT)
def test_right_but_unusual_functions_are_not_accused(loss):
    found = judge(loss, "repeatability", keep=plain_index)
    assert not {verdict.status for _, verdict in found} & FAULTS, faults(found)
