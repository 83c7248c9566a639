"""Arms: what is on the clock, how they go round the ring, and kernels that write into their inputs."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.timing.arm import Arm
from harness.timing.meter import Meter
from harness.timing.ring import Turn, make_ring, views_needed

CASE = Case(batch=8, classes=16, pass_="forward")


class Clock:
    """Time passes only while a kernel works."""

    def __init__(self):
        self.now = 0

    def __call__(self):
        return self.now


def setup(pass_, views=4, function=F.cross_entropy, mutates=False, costs=(10, 7)):
    """An arm on a fake clock whose forward takes 10 ns and whose backward takes 7."""
    case, clock, seen = CASE.with_pass(pass_), Clock(), []
    inputs = build_inputs(case)
    size = inputs.logits.numel() * 4
    ring = make_ring(
        inputs, cache="cold", cache_bytes=size * (views - 1) // 2, requires_grad=pass_ != "forward_no_grad"
    )

    class Costs(torch.autograd.Function):
        @staticmethod
        def forward(ctx, loss):
            return loss.clone()

        @staticmethod
        def backward(ctx, grad):
            clock.now += costs[1]
            return grad

    def counted(logits, target):
        clock.now += costs[0]
        seen.append(logits.data_ptr())
        return Costs.apply(function(logits, target))

    meter = Meter(clock=clock, gauges=lambda: (clock.now, 0))
    return Arm(counted, case, ring, inputs.grad_output, meter=meter, mutates=mutates), seen, ring


@pytest.mark.parametrize(
    ("pass_", "expected"), [("forward_no_grad", 10), ("forward", 10), ("backward", 7), ("forward_backward", 17)]
)
def test_each_pass_clocks_what_it_names(pass_, expected):
    arm, _, _ = setup(pass_)
    assert arm(4) == 4 * expected


@pytest.mark.parametrize("pass_", ["forward", "backward", "forward_backward"])
def test_calls_go_round_the_ring_and_go_on_from_sample_to_sample(pass_):
    arm, seen, ring = setup(pass_)
    arm(4)
    arm(4)
    arm(2)
    assert len(set(seen)) == len(ring.pairs)
    assert seen[0] == seen[4] == seen[8]
    assert all(one != other for one, other in pairwise(seen))


def test_arms_of_one_ring_take_turns_so_that_none_finds_what_another_has_just_read():
    inputs, seen = build_inputs(CASE), []
    ring = make_ring(inputs, cache="cold", cache_bytes=8 * 16 * 4 * 2, requires_grad=False)

    def counted(logits, target):
        seen.append(logits.data_ptr())
        return F.cross_entropy(logits, target)

    one, other = (Arm(counted, CASE, ring, inputs.grad_output) for _ in range(2))
    for arm, calls in ((one, 2), (other, 1), (one, 1), (other, 3), (one, 3)):
        arm(calls)
    views = [logits.data_ptr() for logits, _ in ring.pairs]
    assert len(views) == 5
    assert sorted(seen[:5]) == sorted(views)
    assert seen[5:] == seen[:5]


def test_calls_that_follow_one_another_do_not_lie_beside_one_another():
    turn = Turn()
    taken = turn.take(100, 100)
    assert sorted(taken) == list(range(100))
    assert turn.at == taken[0]
    assert min(abs(one - other) for one, other in pairwise(taken)) > 30


def test_a_backward_runs_as_many_forwards_first_as_the_ring_has_views():
    arm, seen, ring = setup("backward")
    assert arm.multiple == len(ring.pairs)
    arm(2 * arm.multiple)
    assert len(seen) == 2 * arm.multiple


def test_every_backward_has_a_fresh_forward():
    arm, seen, _ = setup("backward")
    arm(8)
    assert len(seen) == 8


@pytest.mark.parametrize("pass_", ["forward", "backward", "forward_backward"])
def test_inputs_written_to_are_given_back_outside_the_clock(pass_):
    contents = []

    def writes(logits, target):
        contents.append(logits.detach().clone())
        loss = F.cross_entropy(logits, target)
        logits.data.zero_()
        return loss

    arm, _, ring = setup(pass_, function=writes, mutates=True)
    calls = 2 * len(ring.pairs)
    elapsed = arm(calls)
    assert elapsed == calls * {"forward": 10, "backward": 7, "forward_backward": 17}[pass_]
    assert all(bool(found.any()) for found in contents)
    assert all(ring.intact(index) for index in range(len(ring.pairs)))


def test_views_of_the_ring_hold_different_rows_and_the_same_work():
    inputs = build_inputs(CASE)
    ring = make_ring(inputs, cache="cold", cache_bytes=4096, requires_grad=False)
    assert len(ring.pairs) == views_needed(8 * 16 * 4, 4096)
    losses = {round(float(F.cross_entropy(logits, target)), 5) for logits, target in ring.pairs}
    assert len(losses) == 1
    assert not torch.equal(ring.pairs[0][0], ring.pairs[1][0])


def test_too_many_views_make_the_cell_warm_and_say_so():
    ring = make_ring(build_inputs(CASE), cache="cold", cache_bytes=1 << 30, requires_grad=False)
    assert (ring.cache, len(ring.pairs)) == ("warm", 1)
    assert "at most 4096" in ring.reason


def test_the_meter_reads_processor_time_and_faults_beside_the_clock():
    clock, gauges = Clock(), iter([(0, 5), (40, 9), (0, 9), (100, 9)])
    meter = Meter(clock=clock, gauges=lambda: next(gauges))

    def work():
        clock.now += 100

    for _ in range(2):
        meter.clocked(work)
        assert meter.finish(2) == 100
    assert meter.figures(2) == {"page_faults_per_call": 1.0, "cpu_wall_ratio": 0.7, "starved_share": 0.5}
