"""Timed calls are judged afterwards: a loss that does less once it is timed loses its figures."""

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.timing.ring import make_ring
from harness.timing.witness import Witness
from harness.worker.recheck import wrong_when_timed


def timed(function, case, stretches=50, calls=7):
    """The results that a witness keeps of ``function``, called as an arm calls it."""
    inputs = build_inputs(case)
    ring = make_ring(inputs, cache="cold", cache_bytes=4096, requires_grad=case.needs_gradient)
    witness, at = Witness(seed=3), 0
    for _ in range(stretches):
        chosen = witness.draw(calls)
        for step in range(calls):
            logits, target = ring.pairs[at % len(ring.pairs)]
            loss = function(logits, target)
            result = torch.autograd.grad(loss, logits)[0] if case.needs_gradient else loss
            if step == chosen:
                witness.keep(at % len(ring.pairs), result)
            at += 1
    return ring, witness.kept()


def verdict(function, case, declared=False):
    ring, kept = timed(function, case)
    return wrong_when_timed(case, ring, kept, grade="standard", declared=lambda check: declared)


def test_right_answers_pass_whatever_the_pass_computes():
    for pass_ in ("forward_no_grad", "forward", "forward_backward"):
        assert verdict(F.cross_entropy, Case(batch=6, classes=9, pass_=pass_)) is None


def test_a_loss_that_does_less_after_its_hundredth_call_is_told():
    count = [0]

    def lazy(logits, target):
        count[0] += 1
        return F.cross_entropy(logits, target) if count[0] < 100 else F.cross_entropy(logits[:3], target[:3])

    assert "timed call" in verdict(lazy, Case(batch=6, classes=9))
    count[0] = 0
    assert verdict(lazy, Case(batch=6, classes=9), declared=True) is None


def test_only_the_last_calls_being_wrong_is_told():
    count = [0]

    def lazy(logits, target):
        count[0] += 1
        return F.cross_entropy(logits, target) * (1 if count[0] <= 49 * 7 else 2)

    assert verdict(lazy, Case(batch=6, classes=9)) is not None


def test_a_witness_draws_from_all_stretches_alike_and_keeps_the_last():
    counts = [0] * 20
    for seed in range(400):
        witness = Witness(seed=seed)
        for stretch in range(20):
            witness.keep(stretch, None)
        found = witness.kept()
        assert found[-1].index == 19 or any(one.index == 19 for one in found)
        for one in found:
            counts[one.index] += 1
    assert min(counts[:19]) > 40
    assert not witness.kept()
