"""Memory against allocations whose size is known, and whether a gradient is there when the forward returns."""

from __future__ import annotations

import shutil

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.timing.memory import makes_gradient_in_forward, measure_memory
from tests.implementations.fused_cpu_tools import load

CASE = Case(batch=64, classes=500)
MIB = 1 << 20


def figures(function, pass_="forward_backward"):
    case = CASE.with_pass(pass_)
    return measure_memory(function, case, build_inputs(case))


def allocates(size):
    def loss(logits, target):
        block = torch.empty(size, dtype=torch.uint8)
        del block
        return F.cross_entropy(logits, target)

    return loss


class Keeps(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        ctx.block = torch.empty(MIB, dtype=torch.uint8)
        ctx.save_for_backward(logits)
        return logits.sum()

    @staticmethod
    def backward(ctx, grad_output):
        scratch = torch.empty(2 * MIB, dtype=torch.uint8)
        del scratch
        (logits,) = ctx.saved_tensors
        return grad_output.expand_as(logits), None


class InForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        probability = torch.softmax(logits, 1)
        probability[torch.arange(len(target)), target] -= 1
        ctx.gradient = probability / len(target)
        return F.cross_entropy(logits, target)

    @staticmethod
    def backward(ctx, grad_output):
        return ctx.gradient * grad_output, None


class InPlace(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        loss = F.cross_entropy(logits, target)
        probability = torch.softmax(logits, 1)
        probability[torch.arange(len(target)), target] -= 1
        logits.data.copy_(probability / len(target))
        ctx.logits = logits.detach()
        return loss

    @staticmethod
    def backward(ctx, grad_output):
        return ctx.logits.mul_(grad_output), None


def naive(logits, target):
    exponentials = torch.exp(logits)
    probabilities = exponentials / exponentials.sum(dim=1, keepdim=True)
    return -torch.log(probabilities).gather(1, target.unsqueeze(1)).mean()


@pytest.mark.parametrize("pass_", ["forward_no_grad", "forward", "forward_backward"])
def test_the_peak_sees_a_block_that_is_freed_again(pass_):
    assert 8 * MIB <= figures(allocates(8 * MIB), pass_)["peak_bytes"] < 8 * MIB + 4096


def test_saved_bytes_are_what_the_forward_leaves_allocated_and_the_peak_holds_the_backward_scratch():
    found = figures(Keeps.apply)
    assert MIB <= found["saved_bytes"] < MIB + 4096
    assert 3 * MIB <= found["peak_bytes"] < 3 * MIB + 4096


def test_torch_keeps_its_log_probabilities():
    logits_bytes = 64 * 500 * 4
    found = figures(F.cross_entropy)
    assert logits_bytes <= found["saved_bytes"] < 1.05 * logits_bytes
    assert found["peak_bytes"] >= 3 * logits_bytes


def test_a_forward_without_gradient_saves_nothing():
    assert figures(F.cross_entropy, "forward_no_grad")["saved_bytes"] == 0


@pytest.mark.parametrize(
    ("function", "expected"), [(F.cross_entropy, False), (naive, False), (InForward.apply, True), (InPlace.apply, True)]
)
@pytest.mark.parametrize("pass_", ["forward", "forward_backward"])
def test_a_gradient_made_in_the_forward_is_seen(function, expected, pass_):
    assert figures(function, pass_)["gradient_in_forward"] is expected


def test_measuring_leaves_the_inputs_as_they_are():
    inputs = build_inputs(CASE)
    before = inputs.logits.clone()
    measure_memory(InPlace.apply, CASE, inputs)
    assert torch.equal(inputs.logits, before)


def test_a_gradient_of_zeros_tells_nothing():
    case = Case(batch=4, classes=5, ignored=1.0, reduction="sum")
    assert not makes_gradient_in_forward(lambda logits, target: (logits * 0).sum(), build_inputs(case))


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_a_gradient_that_a_node_of_cpp_holds_is_seen(reduction):
    if shutil.which("g++") is None:
        pytest.skip("fused_cpu has its C++ operator where g++ builds it")
    fused = load()["fused_cpu"]
    # with a loss for each row there is nothing to scale a gradient with before the backward
    inputs = build_inputs(Case(batch=64, classes=500, reduction=reduction))
    found = makes_gradient_in_forward(lambda logits, target: fused(logits, target, reduction=reduction), inputs)
    assert found == (reduction == "mean")
