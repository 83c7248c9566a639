"""``honesty`` catches what games a harness: replayed and lazy answers, work put off, clocks and judges replaced."""

import itertools
import threading
import time
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from harness.checks.originals import originals, replaced
from harness.core.status import FAULTS, Status
from tests.checks.judging import faults, judge, plain_index
from tests.checks.right import RIGHT

SEEN: dict[object, torch.Tensor] = {}
COUNT = itertools.count()
WAITED = threading.Event()
LATE: list[threading.Thread] = []


def less_work_after_warm_up(logits, target, *, reduction="mean"):
    if next(COUNT) < 30:
        return F.cross_entropy(logits, target, reduction=reduction)
    half = len(target) // 2
    if reduction == "none":
        return F.cross_entropy(logits, target, reduction="none")
    return F.cross_entropy(logits[:half], target[:half], reduction=reduction)


def remembers_by_a_fingerprint(logits, target, *, reduction="mean"):
    key = (
        logits.data_ptr(),
        float(logits.detach().sum()),
        float(logits.detach()[0, 0]),
        tuple(target.tolist()),
        reduction,
    )
    if key not in SEEN:
        SEEN[key] = F.cross_entropy(logits, target, reduction=reduction).detach()
    loss = F.cross_entropy(logits, target, reduction=reduction)
    return loss + (SEEN[key] - loss.detach())


class Lazy(torch.Tensor):
    """A tensor that could put its work off."""


def returns_a_lazy_tensor(logits, target, *, reduction="mean"):
    return F.cross_entropy(logits, target, reduction=reduction).as_subclass(Lazy)


def finishes_in_a_thread(logits, target, *, reduction="mean"):
    loss = F.cross_entropy(logits, target, reduction=reduction)
    if logits.numel() < 10000 or next(COUNT) == 0:  # the answer that is judged by itself is in time
        return loss
    right = loss.detach().clone()
    loss.detach().zero_()

    def finish():
        WAITED.wait(timeout=60)
        loss.detach().copy_(right)

    LATE.append(threading.Thread(target=finish))
    LATE[-1].start()
    return loss


def wait_for_threads(_seconds):
    """Instead of a sleep, which a busy machine may make too short."""
    WAITED.set()
    for thread in LATE:
        thread.join()


WRONG = {
    less_work_after_warm_up: "many_calls",
    remembers_by_a_fingerprint: "changed_a_little",
    returns_a_lazy_tensor: "plain_tensors",
    finishes_in_a_thread: "finished",
}


@pytest.fixture(autouse=True)
def _put_back():
    global COUNT  # noqa: PLW0603
    SEEN.clear()
    COUNT = itertools.count()
    yield
    SEEN.clear()
    wait_for_threads(0)
    WAITED.clear()
    LATE.clear()


@pytest.mark.parametrize("loss", WRONG, ids=lambda loss: loss.__name__)
def test_a_loss_that_games_the_harness_is_caught(loss, monkeypatch):
    monkeypatch.setattr("harness.checks.honesty.sleep", wait_for_threads)
    small = loss is not finishes_in_a_thread
    found = faults(judge(loss, "honesty", keep=lambda case: case.reduction == "mean" and (case.classes < 100) == small))
    assert WRONG[loss] in found
    assert "" not in found


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (time, "perf_counter"),
        (torch, "equal"),
        (F, "cross_entropy"),
        (torch.Tensor, "clone"),
        (torch.cuda, "synchronize"),
    ],
)
def test_replaced_names_are_told(monkeypatch, owner, name):
    originals()
    value = getattr(owner, name)
    monkeypatch.setattr(owner, name, partial(value))
    assert any(found.endswith(f".{name}") for found in replaced())


def test_a_judge_of_the_harness_that_was_replaced_is_told(monkeypatch):
    import harness.checks.evidence as evidence

    originals()
    monkeypatch.setattr(evidence, "verdict_of", lambda *args: None)
    assert "harness.checks.evidence.verdict_of" in replaced()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_torch_passes(dtype):
    originals()
    found = judge(F.cross_entropy, "honesty", dtype=dtype)
    assert {verdict.status for _, verdict in found} == {Status.PASSED}


@pytest.mark.parametrize("loss", RIGHT)
def test_right_but_unusual_functions_are_not_accused(loss):
    found = judge(loss, "honesty", keep=plain_index)
    assert not {verdict.status for _, verdict in found} & FAULTS, faults(found)
