from __future__ import annotations

import math
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from tests.implementations.fused_cpu_tools import FOLDER, NAMES, answer, assert_close, load, made, module, truth, unload

#: Rows of one vector, of less, of several with a rest; of more than one block; as many as lanes with some left over.
SHAPES = [(3, 2), (37, 10), (70, 32), (33, 41), (20, 100), (5, 2048), (4, 2053), (3, 5000)]


@pytest.fixture(autouse=True)
def no_short_cut(monkeypatch):
    """Small problems too go the way of large ones."""
    monkeypatch.setitem(module("package"), "SMALL", 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_loss_and_every_gradient_entry_agree_with_float64(name, shape, dtype, reduction):
    logits, target = made(shape, dtype)
    found = answer(load()[name], logits, target, **_upstream(reduction, target, dtype), reduction=reduction)
    assert_close(found, truth(logits, target, **_upstream(reduction, target, dtype), reduction=reduction), dtype)


def _upstream(reduction, target, dtype):
    return {"upstream": torch.linspace(0.5, 2.0, target.numel()).to(dtype)} if reduction == "none" else {}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("shape", [(6, 33), (4, 9, 3)])
def test_what_the_kernel_does_not_serve_is_right_too(name, dtype, shape):
    logits, target = made(shape, dtype, spread=1.0)
    assert_close(answer(load()[name], logits, target, reduction="sum"), truth(logits, target, reduction="sum"), dtype)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [9, 300])
@pytest.mark.parametrize("options", [{"label_smoothing": 0.1}, {}])
def test_weights_and_smoothing(name, classes, options):
    logits, target = made((40, classes))
    weight = torch.rand(classes, generator=torch.Generator().manual_seed(1)) + 0.5
    found = answer(load()[name], logits, target, weight=weight, **options)
    for ours, theirs in zip(found, truth(logits, target, weight=weight, **options), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=2e-5, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [9, 300])
def test_a_loss_near_zero_keeps_its_digits(name, classes):
    logits = torch.zeros(20, classes)
    target = torch.arange(20) % classes
    logits[torch.arange(20), target] = 30.0
    expected = math.log1p((classes - 1) * math.exp(-30.0))
    loss = load()[name](logits, target, reduction="none")
    torch.testing.assert_close(loss.double(), torch.full((20,), expected, dtype=torch.float64), rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("rows", [3, 7, 49])
def test_a_float64_target_gradient_is_rounded_once(rows):
    """Where p_t is nothing beside 1 it is −upstream ÷ rows, which a quotient and a product would round twice."""
    logits = torch.zeros(rows, 5, dtype=torch.float64)
    logits[:, 0] = 100.0
    for upstream in (0.3, -1.7, 65536.1):
        asked = logits.clone().requires_grad_()
        loss = load()["fused_cpu"](asked, torch.ones(rows, dtype=torch.int64))
        gradient = torch.autograd.grad(loss, asked, torch.tensor(upstream, dtype=torch.float64))[0]
        assert (gradient[:, 1] == -float(Fraction(upstream) / rows)).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [9, 300, 5000])
def test_masked_logits_infinite_losses_and_rows_of_nan(name, classes):
    logits, target = made((20, classes), ignored=False)
    with torch.no_grad():
        logits[0, 1:] = -math.inf
        logits[1] = -math.inf
        logits[2, classes // 2] = math.nan
        logits[3, 0] = math.inf
        logits[4, : classes // 2] = -math.inf
    target[0], target[4] = 0, 0
    found = answer(load()[name], logits, target, torch.ones(20), reduction="none")
    expected = truth(logits, target, torch.ones(20), reduction="none")
    assert found[0][4] == math.inf
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=5e-6, atol=1e-37, equal_nan=True)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("classes", [9, 300])
def test_an_ignored_row_has_neither_loss_nor_gradient_whatever_it_holds(name, classes):
    logits, target = made((20, classes))
    with torch.no_grad():
        logits[::4] = math.nan
    loss, gradient = answer(load()[name], logits, target)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert (gradient[::4] == 0.0).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("wrong", [-1, 9, 2**32])
def test_a_target_that_is_no_class_is_refused_as_torch_does(name, wrong):
    logits, target = made((20, 9))
    target[7] = wrong
    with pytest.raises(IndexError, match=f"Target {wrong} is out of bounds"):
        load()[name](logits, target)


@pytest.mark.parametrize("name", NAMES)
def test_rows_may_lie_apart_and_need_not_be_aligned(name):
    logits, target = made((20, 101))
    wide = logits.detach().clone()[:, 1:].requires_grad_()
    target.clamp_(max=99)
    assert_close(answer(load()[name], wide, target), truth(wide, target), torch.float32)


@pytest.mark.parametrize("name", NAMES)
def test_a_gradient_once_returned_is_nobody_elses(name):
    logits, target = made((20, 300))
    loss = load()[name](logits, target)
    first, second = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for _ in range(2))
    assert first.data_ptr() != second.data_ptr()
    torch.testing.assert_close(first, second, rtol=1e-6, atol=1e-12)


#: Threads take of each other's groups of rows; from 4,096 classes on a row is one, and there may be fewer than threads.
@pytest.mark.parametrize("shape", [(50, 300), (700, 10), (333, 1000), (17, 5000), (2, 40000), (1, 70000)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_thread_and_several_give_the_same_bits(shape, dtype):
    logits, target = made(shape, dtype, ignored=shape[0] > 2)
    before = torch.get_num_threads()
    try:
        found = []
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            found.append(answer(load()["fused_cpu"], logits, target))
    finally:
        torch.set_num_threads(before)
    for loss, gradient in found[1:]:
        assert torch.equal(loss, found[0][0])
        assert torch.equal(gradient, found[0][1])


#: Vectors of four and of eight, where those of sixteen are this machine's own.
@pytest.mark.parametrize("processor", ["x86-64", "x86-64-v3"])
def test_narrower_vectors_of_other_processors_agree_and_are_faster_than_torch(processor, tmp_path, monkeypatch):
    """Without AVX-512 the same sources take other branches: built for lesser processors and compared."""
    if processor == "x86-64-v3" and not {"avx2", "fma", "bmi2"} <= set(Path("/proc/cpuinfo").read_text().split()):
        pytest.skip("this processor has no AVX2")
    native = module("native")
    flags = tuple(f"-march={processor}" if flag == "-march=native" else flag for flag in native["_KERNEL_FLAGS"])
    monkeypatch.setitem(native, "_KERNEL_FLAGS", flags)
    if processor == "x86-64":  # one of the two is built as where Python's headers are not installed
        monkeypatch.setitem(native, "_python_flags", tuple)
    unload(monkeypatch)
    monkeypatch.setenv("LOSS_HARNESS_CACHE", str(tmp_path))
    for dtype in (torch.float32, torch.bfloat16):
        for shape in ((37, 10), (37, 37), (37, 2053)):
            logits, target = made(shape, dtype)
            assert_close(answer(load()["fused_cpu"], logits, target), truth(logits, target), dtype)
            upstream = torch.linspace(-1.0, 1.0, 37).to(dtype)
            options = {"weight": torch.linspace(0.5, 1.5, shape[1]).to(dtype), "reduction": "none"}
            found = answer(load()["fused_cpu"], logits, target, upstream, **options)
            assert_close(found, truth(logits, target, upstream, **options), dtype)
    assert [path.suffix for path in tmp_path.iterdir()] == [".so"]
    assert bool(native["DIRECT"]) == bool(native["_python_flags"]())
    # vectors wider than the processor's are taken apart number by number, which takes longer than torch
    assert _seconds(load()["fused_cpu"]) < _seconds(F.cross_entropy)


def _seconds(function):
    """The best of many calls on logits that stay in the cache."""
    logits, target = made((256, 1000), ignored=False)
    times = []
    for _ in range(30):
        start = time.perf_counter()
        answer(function, logits, target)
        times.append(time.perf_counter() - start)
    return min(times)


def test_a_kernel_that_cannot_be_built_says_what_the_compiler_said(tmp_path, monkeypatch):
    native = module("native")
    monkeypatch.setitem(native, "_KERNEL_FLAGS", ("--no-such-flag",))
    monkeypatch.setitem(native, "_OPERATOR_FLAGS", ("--no-such-flag",))
    unload(monkeypatch)
    monkeypatch.setenv("LOSS_HARNESS_CACHE", str(tmp_path))
    with pytest.raises(RuntimeError, match=r"cannot build its kernel with .*no-such-flag"):
        load()["fused_cpu"](*made((20, 9)))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named_with_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    # a build that is not loaded yet
    monkeypatch.setitem(module("native"), "_KERNEL_FLAGS", ("-DANOTHER",))
    unload(monkeypatch)
    monkeypatch.setenv("LOSS_HARNESS_CACHE", str(tmp_path / "file" / "below"))
    with pytest.raises(RuntimeError, match=r"no folder to build in: .*below.*; set LOSS_HARNESS_CACHE"):
        load()["fused_cpu"](*made((20, 9)))


def test_another_torch_or_other_flags_are_another_build(monkeypatch):
    native = module("native")
    keys = {native["_key"]("g++")}
    monkeypatch.setattr(torch, "__version__", "2.11.0")
    keys.add(native["_key"]("g++"))
    for flags in ("_KERNEL_FLAGS", "_OPERATOR_FLAGS"):
        monkeypatch.setitem(native, flags, ("-O1",))
        keys.add(native["_key"]("g++"))
    assert len(keys) == 4


def test_without_a_compiler_torch_operators_serve_and_the_description_says_so(monkeypatch):
    package = module("package")
    assert (
        package["fused_cpu_cross_entropy"]
        .__doc__.splitlines()[0]
        .endswith("C++ operator, built by g++ at the first call.")
    )
    program = """
import sys, torch
from pathlib import Path
from harness.registry.load import load_source
from harness.registry.sources import parse_reference
(description, call), _ = load_source(parse_reference(sys.argv[1], Path.cwd()))
print(description.summary)
print(float(call(torch.zeros(1000, 100), torch.zeros(1000, dtype=torch.int64))))
"""
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("LOSS_HARNESS_CACHE", "/nonexistent/cannot/be/made")
    told = _python(program, str(FOLDER / "fused_cpu"))
    assert "no g++ was found" in told[0]
    assert float(told[1]) == pytest.approx(math.log(100.0), rel=1e-6)


def _python(program, *arguments):
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()
