"""The way into fused_cpu past torch's dispatcher: the same answers, and only where nobody follows operators."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from tests.implementations.fused_cpu_tools import answer, load, made, module, unload

#: What comes behind logits and target.
REST = (None, -100, "mean", 0.0)


def direct(*call):
    """The answer past the dispatcher, arguments by position; None where the operator is to be asked."""
    module("native")["operator"]()
    (entry,) = module("native")["DIRECT"] or [pytest.skip("Python's headers are not installed")]
    return entry(*call)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_past_the_dispatcher_the_answer_is_the_operators(dtype, reduction):
    logits, target = made((37, 257), dtype)
    weight = torch.linspace(0.5, 1.5, 257).to(dtype)
    upstream = torch.full(target.shape if reduction == "none" else (), 0.7, dtype=dtype)
    rest = (weight, -100, reduction, 0.0)
    found = answer(lambda x, y: direct(x, y, *rest), logits, target, upstream)
    operator = module("native")["operator"]()
    expected = answer(lambda x, y: operator(x, y, *rest), logits, target, upstream)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


class _Subclass(torch.Tensor):
    pass


@pytest.mark.parametrize(
    "call",
    [
        lambda x, y: (x.as_subclass(_Subclass), y, *REST),
        lambda x, y: (x, y.tolist(), *REST),
        lambda x, y: (x, y, [1.0] * 9, -100, "mean", 0.0),
        lambda x, y: (x, y, None, 1 << 70, "mean", 0.0),
        lambda x, y: (x, y, None, -100, "average", 0.0),
        lambda x, y: (x, y, None, -100, "\ud800", 0.0),
        lambda x, y: (x, y, None, -100, "mean", 0.1),
        lambda x, y: (x, y, None, -100, "mean", None),
        lambda x, y: (x, y),
        lambda x, y: (x.double(), y, *REST),
    ],
)
def test_what_is_no_plain_call_is_left_to_the_operator(call):
    logits, target = made((20, 9))
    assert direct(*call(logits, target)) is None
    assert direct(logits, target, *REST) is not None


def test_who_follows_operators_sees_one():
    from torch.overrides import TorchFunctionMode

    class Pass(TorchFunctionMode):
        def __torch_function__(self, function, types, args=(), kwargs=None):
            return function(*args, **kwargs or {})

    logits, target = made((20, 9))
    load()["fused_cpu"](logits, target)
    with Pass():
        assert direct(logits, target, *REST) is None
    with torch.profiler.profile() as profile:
        load()["fused_cpu"](logits, target)
    assert any(event.key.endswith("::cross_entropy") for event in profile.key_averages())
    assert direct(logits, target, *REST) is not None


def test_its_errors_are_torchs():
    logits, target = made((20, 9), ignored=False)
    with pytest.raises(IndexError, match="Target 9 is out of bounds"):
        direct(logits, target * 0 + 9, *REST)
    assert direct(logits, target, *REST) is not None


def test_other_threads_run_while_it_computes():
    logits, target = made((2000, 20_000), ignored=False)
    direct(logits, target, *REST)
    counted, done = [0], threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(1e-4)

    thread = threading.Thread(target=count)
    thread.start()
    before = counted[0]
    direct(logits, target, *REST)
    counted_meanwhile = counted[0] - before
    done.set()
    thread.join()
    assert counted_meanwhile > 5


def test_what_is_loaded_already_is_found_whatever_folder_is_chosen_now(tmp_path, monkeypatch):
    logits, target = made((20, 9))
    expected = load()["fused_cpu"](logits, target)
    unload(monkeypatch)
    monkeypatch.setenv("LOSS_HARNESS_CACHE", str(tmp_path / "elsewhere"))
    assert torch.equal(direct(logits, target, *REST), expected)
    assert not list(tmp_path.iterdir())
