"""What a candidate changed for its whole process is put back before anybody else computes, and noted."""

import numpy as np
import pytest
import torch

from harness.checks.evidence import Answer
from harness.checks.process_state import flushes_denormals, process_state
from harness.core.case import Case
from harness.losses.inputs import build_inputs
from harness.worker.candidate import guarded_state, put_back
from harness.worker.trials import evaluate_answer


@pytest.fixture(autouse=True)
def _noted_anew():
    put_back.cache_clear()
    yield
    torch.set_flush_denormal(False)
    put_back.cache_clear()


def test_flushing_of_denormals_is_put_back_and_noted():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    torch.set_flush_denormal(False)
    with guarded_state():
        torch.set_flush_denormal(True)
        assert flushes_denormals()
    assert not flushes_denormals()
    # the oracle's units in the last place of 0 exist again
    assert float(np.array(2.0**-1060) * 1.0) > 0.0
    assert put_back() == {"flushing of denormals"}


def test_a_call_that_changes_nothing_is_not_noted():
    with guarded_state():
        torch.zeros(2).sum()
    assert put_back() == set()


def test_all_that_is_put_back_is_as_it_was_also_under_a_default_device_without_numbers():
    before = process_state()
    try:
        with guarded_state():
            torch.set_default_device("meta")
            torch.set_grad_enabled(False)
            torch.set_default_dtype(torch.float64)
            torch.set_num_threads(before["number of threads"] % 2 + 1)
            torch.manual_seed(12345)
    finally:
        torch.set_default_device(None)
    assert put_back() == {"grad mode", "default dtype", "number of threads", "torch's random state"}
    after = process_state()
    assert {name: after[name] for name in put_back()} == {name: before[name] for name in put_back()}


def test_an_answer_is_judged_with_denormals_whatever_a_free_call_has_set():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot flush denormals")
    case = Case(batch=8, classes=33, dtype="float64", reduction="none", ignored=0.25)
    inputs = build_inputs(case)
    loss = torch.nn.functional.cross_entropy(inputs.logits, inputs.target, reduction="none")
    evaluation = evaluate_answer(case, inputs, Answer(loss=loss, gradients={}))
    assert all(region.worst["standard"].ratio <= 1 for region in evaluation.regions)
    assert not flushes_denormals()
    assert put_back() == {"flushing of denormals"}
