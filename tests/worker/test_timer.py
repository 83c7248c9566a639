"""What stands beside the samples of implementations: the copy of the logits, and who is asked again afterwards."""

import pytest

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.stats.roofline import COPY
from harness.timing.ring import make_ring
from harness.worker import timer
from harness.worker.timer import may_keep_results

CASE = Case(batch=8, classes=16, pass_="forward_backward")


@pytest.fixture
def ring():
    return make_ring(build_inputs(CASE), cache="cold", cache_bytes=1024, requires_grad=True)


def test_a_copy_is_timed_where_it_is_asked_for(ring):
    assert set(timer._copy(CASE, ring, {"copy": True})[0]) == {COPY}
    assert timer._copy(CASE, ring, {"copy": False}) == ({}, {})


def test_a_copy_that_does_not_fit_into_memory_says_so(ring, monkeypatch):
    def too_large(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nand a trace")

    monkeypatch.setattr(timer, "copy_arm", too_large)
    arms, told = timer._copy(CASE, ring, {"copy": True})
    assert not arms
    assert told == {"copy_reason": "RuntimeError: DefaultCPUAllocator: can't allocate memory"}


def test_one_short_sample_among_long_ones_is_enough_to_be_asked():
    assert may_keep_results([120e6, 150e6, 3e4, 130e6])


def test_who_was_long_throughout_is_not_asked():
    assert not may_keep_results([120e6, 150e6, 130e6])
