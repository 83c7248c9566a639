"""What the C++ operator of fused_cpu serves, and how it keeps to autograd's rules."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tests.implementations.fused_cpu_tools import answer, assert_close, load, made, module, truth

#: Up to 32 classes rows lie in lanes, up to 256 as many are finished together; (900, 100) is shared among threads; 5000
#: classes are several blocks.
SERVED = [(16, 10), (21, 32), (21, 33), (900, 100), (17, 256), (17, 257), (3, 5000)]


def served(*call, **options):
    """The operator's own answer: None where it leaves the call to torch's operators."""
    defaults = {"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0}
    return module("native")["operator"]()(*call, **{**defaults, **options})


def fused(*call, **options):
    return load()["fused_cpu"](*call, **options)


@pytest.mark.parametrize("shape", SERVED)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_kind_of_call_is_served_and_right(shape, dtype, reduction, weighted):
    logits, target = made(shape, dtype, spread=2.0)
    weight = torch.linspace(0.5, 1.5, shape[1]).to(dtype) if weighted else None
    options = {"weight": weight, "reduction": reduction}
    assert served(logits, target, **options) is not None
    upstream = torch.full(target.shape if reduction == "none" else (), 0.7, dtype=dtype)
    assert_close(answer(fused, logits, target, upstream, **options), truth(logits, target, upstream, **options), dtype)


@pytest.mark.parametrize(
    ("change", "options"),
    [
        (lambda x, y: (x.double(), y), {}),
        (lambda x, y: (x.half(), y), {}),
        (lambda x, y: (x[0], y[0]), {}),
        (lambda x, y: (x[..., None], y[..., None]), {}),
        (lambda x, y: (x.t().contiguous().t(), y), {}),
        (lambda x, y: (x, x.softmax(1)), {}),
        (lambda x, y: (x[:0], y[:0]), {}),
        (lambda x, y: (x, y), {"label_smoothing": 0.1}),
    ],
    ids=["float64", "float16", "one row", "more dimensions", "columns", "probabilities", "no rows", "smoothing"],
)
def test_what_it_does_not_serve_goes_to_torch_operators(change, options):
    logits, target = made((20, 9), ignored=False)
    logits, target = change(logits.detach(), target)
    assert served(logits, target, **options) is None
    expected = F.cross_entropy(logits.double(), target.double() if target.is_floating_point() else target, **options)
    torch.testing.assert_close(fused(logits, target, **options).double(), expected, rtol=1e-3, atol=0.0, equal_nan=True)


@pytest.mark.parametrize("change", [lambda y: y.to(torch.uint8), lambda y: y.repeat_interleave(2)[::2]])
def test_targets_of_bytes_and_targets_that_lie_apart(change):
    logits, target = made((20, 9), ignored=False)
    assert_close(answer(fused, logits, change(target)), truth(logits, target), torch.float32)


def test_an_ignored_class_may_be_one_of_the_classes():
    logits, target = made((40, 9), ignored=False)
    assert (target == 3).any()
    assert_close(answer(fused, logits, target, ignore_index=3), truth(logits, target, ignore_index=3), torch.float32)


def test_where_all_rows_are_ignored_the_mean_is_nan_and_the_gradient_0():
    logits, target = made((40, 9))
    loss, gradient = answer(fused, logits, torch.full_like(target, -100))
    assert loss.isnan()
    assert (gradient == 0.0).all()


@pytest.mark.parametrize("row", [0, 19, 899])
def test_the_first_wrong_target_is_named(row):
    logits, target = made((900, 100))
    target[row:] = 100 + row
    with pytest.raises(IndexError, match=f"Target {100 + row} is out of bounds"):
        fused(logits, target)


def test_losses_near_the_largest_float_have_a_mean():
    logits = torch.zeros(32, 40)
    logits[:, 0] = 3e38
    assert fused(logits, torch.ones(32, dtype=torch.int64)) == torch.tensor(3e38)


@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_logits_changed_before_the_backward_are_noticed(reduction):
    logits, target = made((20, 9))
    inner = logits * 1.0
    loss = fused(inner, target, reduction=reduction).sum()
    inner.add_(1.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_second_backward_needs_retain_graph():
    logits, target = made((20, 9))
    loss = fused(logits, target)
    loss.backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_upstream_gradients_other_than_1_round_once_and_again_when_asked_again(dtype):
    logits, target = made((20, 100), dtype)
    loss, upstream = fused(logits, target), torch.tensor(0.3, dtype=dtype)
    expected = truth(logits, target, upstream)[1].to(dtype)
    for _ in range(2):
        (found,) = torch.autograd.grad(loss, logits, upstream, retain_graph=True)
        torch.testing.assert_close(found, expected, rtol=5e-6 if dtype == torch.float32 else 0.0, atol=1e-30)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_gradient_has_a_gradient(reduction, weighted):
    logits, target = made((8, 9))
    weight = torch.linspace(0.5, 1.5, 9) if weighted else None

    def curvature(function, x, weight):
        (first,) = torch.autograd.grad(
            function(x, target, weight=weight, reduction=reduction).square().sum(), x, create_graph=True
        )
        return torch.autograd.grad(first.square().sum(), x)[0]

    wide = logits.detach().double().requires_grad_()
    expected = curvature(F.cross_entropy, wide, None if weight is None else weight.double())
    torch.testing.assert_close(curvature(fused, logits, weight).double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_without_gradients_none_is_made(mode):
    logits, target = made((20, 9))
    with mode():
        loss = fused(logits, target)
    assert not loss.requires_grad
    assert fused(logits, target).requires_grad
    assert not fused(logits.detach(), target).requires_grad
    torch.testing.assert_close(loss, fused(logits, target).detach())


def test_autocast_computes_in_float32():
    logits, target = made((20, 9), torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, gradient = answer(fused, logits, target)
    assert loss.dtype == torch.float32
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(loss.double(), truth(logits, target)[0], rtol=1e-6, atol=0.0)


def test_a_gradient_of_weight_is_refused():
    logits, target = made((20, 9))
    with pytest.raises(RuntimeError, match="gradient of weight"):
        fused(logits, target, weight=torch.ones(9, requires_grad=True))


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_it_is_one_operator_a_direction(reduction, backend):
    logits, target = made((20, 9))
    fused(logits, target)
    upstream = torch.full(target.shape if reduction == "none" else (), 0.7)
    try:
        compiled = torch.compile(load()["fused_cpu"], fullgraph=True, dynamic=False, backend=backend)
        found = answer(compiled, logits, target, upstream, reduction=reduction)
    finally:
        torch.compiler.reset()
    assert_close(found, truth(logits, target, upstream, reduction=reduction), torch.float32)


def test_modes_that_watch_operators_see_it():
    from torch.utils._python_dispatch import TorchDispatchMode

    seen = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            seen.append(function.__name__)
            return function(*args, **kwargs or {})

    logits, target = made((20, 9))
    with Watch():
        found = answer(fused, logits, target)
    assert {"losses.default", "gradient.default"} <= set(seen)
    assert_close(found, truth(logits, target), torch.float32)


def test_transforms_of_functions_agree_or_refuse(monkeypatch):
    logits, target = made((20, 9), ignored=False)
    with pytest.raises(RuntimeError):
        torch.func.grad(fused)(logits.detach(), target)
    monkeypatch.setitem(module("package"), "SMALL", 1 << 16)
    found = torch.func.grad(fused)(logits.detach(), target)
    torch.testing.assert_close(found.double(), truth(logits, target)[1], rtol=1e-4, atol=1e-7)
    # what functorch leaves behind in the thread does not send later calls elsewhere
    assert served(logits, target) is not None


def test_forward_mode_is_refused_not_answered_without_a_tangent():
    import torch.autograd.forward_ad as forward

    logits, target = made((20, 9))
    with forward.dual_level():
        dual = forward.make_dual(logits.detach(), torch.ones(20, 9))
        assert served(dual, target) is None


def test_a_first_gradient_of_more_than_32_mb_is_right():
    logits, target = made((90, 100_000), spread=1.0)
    gradient = answer(fused, logits, target, reduction="sum")[1]
    assert abs(float(gradient.sum())) < 1e-2
    counted = target >= 0
    at_target = gradient[counted, target[counted]]
    assert ((at_target > -1.0) & (at_target < -0.99)).all()
    assert math.isclose(float(gradient[1].abs().sum()), 2.0, rel_tol=1e-3)


@pytest.fixture(autouse=True)
def no_short_cut(monkeypatch):
    """What the operator does not serve goes the way of large problems."""
    monkeypatch.setitem(module("package"), "SMALL", 0)
