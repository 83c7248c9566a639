"""The copy of the logits that is timed beside implementations: what it gives, and for whom there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.losses.catalogue import families
from harness.stats.roofline import COPY, has_copy
from harness.timing.copy import copy_arm
from harness.timing.ring import make_ring
from harness.timing.sampler import SamplerSettings, sample_arms

CASE = Case(batch=8, classes=16, pass_="forward_backward")


def copied(case):
    inputs = build_inputs(case)
    ring = make_ring(inputs, cache="cold", cache_bytes=8 * 16 * 4 * 2, requires_grad=True)
    return copy_arm(case, ring), ring


@pytest.mark.parametrize(
    "axes", [{}, {"dtype": "bfloat16"}, {"layout": "padded"}, {"dims": (3,)}, {"weight": "uniform"}]
)
def test_it_reads_the_logits_whose_turn_it_is_and_gives_a_gradient_of_their_shape(axes):
    arm, ring = copied(replace(CASE, **axes))
    index = ring.turn.at
    found = arm.last()
    assert found.index == index
    assert found.result.shape == ring.source.logits.shape
    assert found.result.dtype == ring.source.logits.dtype
    assert torch.equal(found.result, torch.ones_like(found.result))


def test_it_goes_round_the_same_ring_as_the_others():
    arm, ring = copied(CASE)
    before = ring.turn.at
    arm(3)
    assert ring.turn.at != before


@pytest.mark.parametrize(
    ("loss", "pass_", "expected"),
    [
        ("cross_entropy", "forward_backward", True), ("cross_entropy", "forward", False),
        ("cross_entropy", "backward", False), ("mse_loss", "forward_backward", True),
        ("linear_cross_entropy", "forward_backward", False),
    ],
)  # fmt: skip
def test_there_is_one_where_a_pass_makes_the_gradient_and_no_matrices_are_multiplied(loss, pass_, expected):
    family = families()[loss]
    case = family.case(batch=8, classes=16, features=4 if loss.startswith("linear") else 0, **{"pass": pass_})
    assert has_copy(case, family.cost(case)) is expected


def test_no_width_is_asked_of_it():
    now = [0]

    def steady(calls):
        now[0] += 1000 * calls
        return 1000 * calls

    def wild(calls):
        now[0] += 1000
        return calls * (1000 if now[0] % 7 else 9000)

    settings = SamplerSettings(target_relative_width=0.001, max_seconds=1.0)
    arms = {"a": steady, "b": steady, COPY: wild}
    found = sample_arms(arms, "a", settings, seed=1, now_ns=lambda: now[0], beside=(COPY,))
    assert found.converged
    assert len(found.total_ns[COPY]) == found.rounds == settings.first_look


def test_no_implementation_can_be_called_so():
    assert " " in COPY
