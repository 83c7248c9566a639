"""Timed calls are judged afterwards: a loss that does less once it is timed loses its figures."""

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.timing.arm import Arm
from harness.timing.ring import make_ring
from harness.timing.witness import MOST_BYTES, Witness
from harness.worker.recheck import wrong_when_timed

HELD = ("agreement", "gradient", "stability")


def verdict(function, case, held=HELD, stretches=50, calls=7, mutates=False):
    """What is said of calls that an arm made of ``function``."""
    inputs = build_inputs(case)
    ring = make_ring(inputs, cache="cold", cache_bytes=4096, requires_grad=case.needs_gradient)
    arm = Arm(function, case, ring, inputs.grad_output, mutates=mutates)
    arm.witness = witness = Witness(seed=3)
    for _ in range(stretches):
        arm(calls)
    kept = [arm.last(), *witness.kept()]
    assert len(kept) == 5
    return wrong_when_timed(case, ring, kept, grade="standard", held=held)


@pytest.mark.parametrize("pass_", ["forward_no_grad", "forward", "backward", "forward_backward"])
def test_right_answers_pass_whatever_the_pass_computes(pass_):
    assert verdict(F.cross_entropy, Case(batch=6, classes=9, pass_=pass_)) is None


def test_a_loss_that_does_less_after_its_hundredth_call_is_told():
    count = [0]

    def lazy(logits, target):
        count[0] += 1
        return F.cross_entropy(logits, target) if count[0] < 100 else F.cross_entropy(logits[:3], target[:3])

    assert "a timed call" in (verdict(lazy, Case(batch=6, classes=9)) or "")
    # what it was not held to when it was judged is not asked of it here
    assert verdict(lazy, Case(batch=6, classes=9), held=()) is None


def test_only_the_call_after_the_samples_being_wrong_is_told():
    count = [0]

    def lazy(logits, target):
        count[0] += 1
        return F.cross_entropy(logits, target) * (1 if count[0] <= 50 * 7 else 2)

    assert verdict(lazy, Case(batch=6, classes=9, pass_="forward_no_grad")) is not None


def test_a_gradient_written_over_the_logits_is_kept_before_they_are_given_back():
    class InPlace(torch.autograd.Function):
        @staticmethod
        def forward(ctx, logits, target):
            loss = F.cross_entropy(logits.detach(), target)
            probabilities = logits.detach().softmax(1)
            probabilities[torch.arange(len(target)), target] -= 1
            logits.detach().copy_(probabilities / len(target))
            ctx.gradient = logits.detach()
            return loss

        @staticmethod
        def backward(ctx, upstream):
            return ctx.gradient * upstream, None

    assert verdict(InPlace.apply, Case(batch=6, classes=9), mutates=True) is None


def test_a_witness_draws_from_all_stretches_alike():
    counts = [0] * 20
    for seed in range(400):
        witness = Witness(seed=seed)
        for stretch in range(20):
            if witness.wanted(1) is not None:
                witness.keep(stretch, None)
        for one in witness.kept():
            counts[one.index] += 1
        assert not witness.kept()
    assert min(counts) > 40
    assert sum(counts) == 4 * 400


def test_a_witness_holds_one_large_result_at_a_time():
    witness = Witness(seed=0)
    for stretch in range(10):
        if witness.wanted(1) is not None:
            witness.keep(stretch, torch.empty(MOST_BYTES // 4 + 1, device="meta"))
    assert len(witness.kept()) == 1
