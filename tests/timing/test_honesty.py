"""Implementations that are not waited for, or that keep results, are caught; honest ones are not accused."""

from __future__ import annotations

import threading
import time

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.timing.arm import Arm
from harness.timing.honesty import fresh_factor, late_results, repeats_itself, stale_results
from harness.timing.ring import make_ring

CASE = Case(batch=64, classes=200, pass_="forward_no_grad")
BOTH = CASE.with_pass("forward_backward")


def prepared(case):
    inputs = build_inputs(case)
    ring = make_ring(inputs, cache="cold", cache_bytes=1 << 18, requires_grad=case.needs_gradient)
    return inputs, ring


def on_another_thread(logits, target):
    out = torch.zeros(())

    def work():
        time.sleep(0.03)
        out.copy_(F.cross_entropy(logits, target))

    threading.Thread(target=work).start()
    return out


class Keeper:
    """Keeps the result of each memory it has seen; with ``versions`` it notices contents replaced in place."""

    def __init__(self, versions=False):
        self.kept, self.versions = {}, versions

    def __call__(self, logits, target):
        key = (logits.data_ptr(), logits._version if self.versions else 0)
        if key not in self.kept:
            self.kept[key] = F.cross_entropy(logits.detach(), target) + 0 * logits.sum().detach()
            for _ in range(20):
                F.cross_entropy(logits.detach(), target)
        return self.kept[key]


def test_work_on_another_thread_is_caught():
    inputs, ring = prepared(CASE)
    reason = late_results(on_another_thread, CASE, ring, inputs.grad_output, work_ns=1e8)
    assert "changed after the call had returned" in reason


def test_results_kept_by_memory_are_caught_when_the_contents_change():
    inputs, ring = prepared(CASE)
    assert "it keeps results" in stale_results(Keeper(), F.cross_entropy, CASE, ring, inputs.grad_output)


@pytest.mark.parametrize("factor", [0.0, -1.0, 3.0])
def test_results_of_contents_that_lay_there_earlier_are_caught(factor):
    inputs, ring = prepared(CASE)
    keeper = Keeper()
    keeper(ring.pairs[0][0] * 1.0, ring.pairs[0][1])
    keeper.kept[ring.pairs[0][0].data_ptr(), 0] = F.cross_entropy(ring.pairs[0][0] * factor, ring.pairs[0][1])
    assert "it keeps results" in stale_results(keeper, F.cross_entropy, CASE, ring, inputs.grad_output)


def test_rounding_accuses_nobody_where_the_answers_are_the_same():
    inputs, ring = prepared(CASE)
    for logits, _ in ring.pairs:
        logits.fill_(0.25)
    ring.source.logits.fill_(0.25)

    def rounded(logits, target):
        return F.cross_entropy(logits, target) * (1 + 2.0**-20)

    assert stale_results(rounded, F.cross_entropy, CASE, ring, inputs.grad_output) is None


def test_results_kept_by_version_are_caught_by_the_time_of_a_fresh_call():
    inputs, ring = prepared(CASE)
    keeper = Keeper(versions=True)
    assert stale_results(keeper, F.cross_entropy, CASE, ring, inputs.grad_output) is None
    arm = Arm(keeper, CASE, ring, inputs.grad_output)
    reason = repeats_itself(lambda: fresh_factor(arm, keeper, CASE, ring, inputs.grad_output), 1.0)
    assert "keeps results" in reason


@pytest.mark.parametrize("case", [CASE, BOTH])
def test_an_honest_implementation_is_not_accused(case):
    inputs, ring = prepared(case)

    def honest(logits, target):
        return F.nll_loss(F.log_softmax(logits, 1), target)

    arm = Arm(honest, case, ring, inputs.grad_output)
    assert late_results(honest, case, ring, inputs.grad_output, work_ns=1e5) is None
    assert stale_results(honest, F.cross_entropy, case, ring, inputs.grad_output) is None
    assert repeats_itself(lambda: fresh_factor(arm, honest, case, ring, inputs.grad_output), 1.0) is None
    assert ring.intact(0)


def test_one_large_factor_accuses_nobody():
    factors = iter([50.0, 1.1, 40.0])
    assert repeats_itself(lambda: next(factors), 1.0) is None


def test_the_baseline_own_factor_is_taken_out():
    assert repeats_itself(lambda: 5.0, 3.0) is None
    assert repeats_itself(lambda: 5.0, 1.0) is not None
