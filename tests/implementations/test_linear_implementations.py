from __future__ import annotations

import math
from functools import cache
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.registry.load import load_source
from harness.registry.sources import parse_reference

FOLDER = Path(__file__).parents[2] / "implementations"
FILES = {
    "linear_torch": "linear_torch.py", "linear_torch_native": "linear_torch_native.py",
    "linear_chunked": "linear_chunked", "linear_torch_compile": "linear_torch_compile.py",
}  # fmt: skip


@cache
def load(name):
    (found,) = load_source(parse_reference(str(FOLDER / FILES[name]), FOLDER))
    return found


def made(shape=(70, 6, 11), dtype=torch.float32, *, bias=True, ignored=True, seed=0):
    """Hidden states, weight and bias that require grad, and targets, every fifth ignored."""
    rows, features, classes = shape
    generator = torch.Generator().manual_seed(seed)
    sizes = [(rows, features), (classes, features)] + [(classes,)] * bias
    trained = [torch.randn(size, generator=generator, dtype=torch.float64).to(dtype).requires_grad_() for size in sizes]
    target = torch.randint(classes, (rows,), generator=generator)
    if ignored:
        target[::5] = -100
    return trained, target


def truth(trained, target, upstream=None, **options):
    """Loss and gradients through float64 autograd."""
    wide = [tensor.detach().double().requires_grad_() for tensor in trained]
    if options.get("weight") is not None:
        options = {**options, "weight": options["weight"].double()}
    loss = F.cross_entropy(F.linear(*wide), target, **options)
    return loss, torch.autograd.grad(loss, wide, None if upstream is None else upstream.double())


def answer(name, trained, target, upstream=None, **options):
    bias = trained[2] if len(trained) > 2 else None
    loss = load(name)[1](trained[0], trained[1], target, linear_bias=bias, **options)
    return loss, torch.autograd.grad(loss, trained, upstream)


def assert_near(found, expected, relative):
    """The error of every tensor, measured against its largest entry."""
    for ours, theirs in zip((found[0], *found[1]), (expected[0], *expected[1]), strict=True):
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs).abs().max() <= relative * theirs.abs().max()


@pytest.fixture
def small_chunks(monkeypatch):
    """Chunks of 16 rows, the least, so that 70 rows need five, the last one short."""
    module = load("linear_chunked")[1].__globals__["LinearCrossEntropy"].forward.__globals__["make_problem"].__globals__
    monkeypatch.setitem(module["_CHUNK_BYTES"], "cpu", 1)


@pytest.mark.parametrize("name", FILES)
def test_a_file_registers_linear_cross_entropy_under_its_name(name):
    description, _ = load(name)
    assert (description.name, description.loss) == (name, "linear_cross_entropy")
    assert {"linear_bias", "weight", "reduction", "ignore_index"} <= set(description.options)


@pytest.mark.parametrize("name", ["linear_torch", "linear_torch_native", "linear_chunked"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_loss_and_all_gradients_agree_with_float64(name, reduction):
    if name == "linear_torch_native" and not hasattr(F, "linear_cross_entropy"):
        pytest.skip("F.linear_cross_entropy is new in torch 2.13")
    trained, target = made()
    assert_near(
        answer(name, trained, target, reduction=reduction), truth(trained, target, reduction=reduction), relative=2e-6
    )


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignored", [False, True])
def test_chunks_give_what_the_whole_gives(small_chunks, reduction, smoothing, weighted, ignored):
    trained, target = made(ignored=ignored)
    options = {"reduction": reduction, "label_smoothing": smoothing}
    if weighted:
        options["weight"] = torch.rand(11, generator=torch.Generator().manual_seed(1)) + 0.5
    upstream = torch.full((70,) if reduction == "none" else (), 3.0)
    found = answer("linear_chunked", trained, target, upstream, **options)
    assert_near(found, truth(trained, target, upstream, **options), relative=2e-6)


@pytest.mark.parametrize(
    ("dtype", "relative"), [(torch.float64, 1e-14), (torch.bfloat16, 2**-8), (torch.float16, 2**-11)]
)
def test_half_precision_results_are_rounded_once(small_chunks, dtype, relative):
    trained, target = made(dtype=dtype)
    found = answer("linear_chunked", trained, target)
    assert found[0].dtype == found[1][0].dtype == dtype
    assert_near(found, truth(trained, target), relative=relative)


def test_a_loss_near_zero_keeps_its_digits():
    hidden, weight = torch.eye(3) * 30.0, torch.eye(3)
    loss = load("linear_chunked")[1](hidden, weight, torch.arange(3), reduction="none")
    # not torch's own float64, which has lost three digits of it
    expected = torch.full((3,), math.log1p(2.0 * math.exp(-30.0)), dtype=torch.float64)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-6, atol=0.0)


def test_ignored_rows_are_never_read(small_chunks):
    trained, target = made()
    clean = answer("linear_chunked", trained, target)
    with torch.no_grad():
        trained[0][::5] = float("nan")
    found = answer("linear_chunked", trained, target)
    assert torch.equal(found[0], clean[0])
    for ours, theirs in zip(found[1], clean[1], strict=True):
        assert torch.equal(ours, theirs)


def test_a_second_backward_gives_the_same_and_leaves_the_first_alone():
    trained, target = made()
    loss = load("linear_chunked")[1](trained[0], trained[1], target, linear_bias=trained[2])
    first = torch.autograd.grad(loss, trained, retain_graph=True)
    kept = [gradient.clone() for gradient in first]
    second = torch.autograd.grad(loss * 2.0, trained)
    for one, before, two in zip(first, kept, second, strict=True):
        assert torch.equal(one, before)
        torch.testing.assert_close(two, 2.0 * one)


def test_only_the_gradients_asked_for_are_made():
    trained, target = made()
    frozen = trained[1].detach()
    loss = load("linear_chunked")[1](trained[0], frozen, target, linear_bias=trained[2].detach())
    (found,) = torch.autograd.grad(loss, trained[:1])
    torch.testing.assert_close(found.double(), truth(trained, target)[1][0], rtol=1e-4, atol=1e-7)


def test_double_backward_is_refused():
    trained, target = made()
    loss = load("linear_chunked")[1](trained[0], trained[1], target)
    (gradient,) = torch.autograd.grad(loss, trained[:1], create_graph=True, retain_graph=True)
    assert not gradient.requires_grad
    # only an upstream gradient that requires grad makes the gradient claim one of its own
    (gradient,) = torch.autograd.grad(loss * trained[0].sum(), trained[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"target": torch.tensor([0, 11])}, IndexError, "Target 11 is out of bounds"),
        ({"target": torch.tensor([0, 1], dtype=torch.int32)}, RuntimeError, "int64"),
        ({"linear_weight": torch.zeros(11, 5)}, ValueError, r"\(N, H\) and \(C, H\)"),
        ({"linear_weight": torch.zeros(11, 6, dtype=torch.float64)}, RuntimeError, "one dtype"),
        ({"linear_bias": torch.zeros(10)}, ValueError, "linear_bias has shape"),
        ({"reduction": "avg"}, ValueError, "allowed: none, mean, sum"),
        ({"label_smoothing": 2.0}, ValueError, "label_smoothing"),
    ],
)
def test_what_has_no_meaning_is_refused(changed, error, message):
    arguments = {"input": torch.zeros(2, 6), "linear_weight": torch.zeros(11, 6), "target": torch.tensor([0, 1])}
    with pytest.raises(error, match=message):
        load("linear_chunked")[1](**{**arguments, **changed})


def test_a_single_row_gives_a_loss_without_dimensions():
    trained, target = made((1, 6, 11), bias=False, ignored=False)
    loss = load("linear_chunked")[1](trained[0][0], trained[1], target[0], reduction="none")
    assert loss.shape == ()
    torch.testing.assert_close(loss.double(), truth(trained, target)[0])


def test_no_more_logits_than_a_chunk_are_in_memory():
    trained, target = made((512, 8, 4096), ignored=False)

    def peak(function):
        with torch.profiler.profile(profile_memory=True) as recorded:
            loss = function(trained[0], trained[1], target, linear_bias=trained[2])
            torch.autograd.grad(loss, trained)
        sizes = [e.nbytes() for e in recorded.profiler.kineto_results.events() if e.name() == "[memory]"]
        level, highest = 0, 0
        for size in sizes:
            level += size
            highest = max(highest, level)
        return highest

    chunk = load("linear_chunked")[1].__globals__["LinearCrossEntropy"].forward.__globals__["make_problem"].__globals__
    chunk["_CHUNK_BYTES"]["cpu"], before = 1 << 18, chunk["_CHUNK_BYTES"]["cpu"]
    try:
        assert peak(load("linear_chunked")[1]) < 0.1 * peak(load("linear_torch")[1])
    finally:
        chunk["_CHUNK_BYTES"]["cpu"] = before
