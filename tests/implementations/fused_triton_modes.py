"""Interpreted checks that every way through the kernels of fused_triton is right: each is forced, and seen to run."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
from dataclasses import replace

import pytest
import torch

from tests.implementations.fused_triton_tools import agrees, check, close, fused, named, random_upstream, tensors


def package(name):
    fused(torch.zeros(1, 2), torch.tensor([0]))
    return sys.modules[f"{fused.loaded.__module__}.{name}"]


@contextlib.contextmanager
def planned_for(**device):
    """Calls inside are planned for a device of these properties; yields the launches that went out."""
    autograd, launch, plan = package("autograd"), package("launch"), package("plan")
    found = []
    made = autograd.launch
    small = replace(plan.Device(multiprocessors=2, l2_bytes=512, tile=64), **device)

    def record(call, planned, *arguments, **keywords):
        found.append(planned)
        made(call, planned, *arguments, **keywords)

    kept = autograd.device_of
    autograd.device_of, autograd.launch = lambda tensor: small, record
    try:
        yield found
    finally:
        autograd.device_of, autograd.launch = kept, made
    assert launch.launch is made


def ways(found):
    return [(planned.kernel, planned.finish, planned.resident, planned.cached) for planned in found]


SHORT, ALONE, LOOP = ("rows", "alone", False, False), ("sweep", "alone", True, False), ("sweep", "alone", False, False)
LAST, WAIT, CAPPED = ("sweep", "last", False, False), ("sweep", "wait", True, False), ("sweep", "wait", False, True)
SAVED = ("sweep", "saved", True, False)


@check
def every_way_runs_where_it_is_planned_and_is_right():
    for name, shape, device, expected in (
        ("fused_triton", (5, 64), {"l2_bytes": 2**20}, [SHORT, SHORT]),
        ("fused_triton", (5, 64), {}, [SHORT, SHORT]),
        ("fused_triton", (5, 128), {}, [ALONE, SAVED]),
        ("fused_triton_recompute", (5, 128), {}, [ALONE, SAVED]),
        ("fused_triton_recompute", (8, 300), {}, [LOOP, SAVED]),
        ("fused_triton_recompute", (2, 300), {}, [LAST, SAVED]),
        ("fused_triton_inplace", (8, 300), {}, [LOOP, SAVED]),
        ("fused_triton", (5, 300), {}, [CAPPED, SAVED]),
        ("fused_triton_capped", (5, 300), {}, [CAPPED, SAVED]),
        ("fused_triton_resident", (5, 300), {"multiprocessors": 8}, [WAIT, SAVED]),
        ("fused_triton_three_pass", (5, 300), {}, [LOOP, SAVED]),
    ):
        for dtype, odd in ((torch.float32, 0), (torch.bfloat16, 1)):
            logits, target, weight = tensors((shape[0], shape[1] - odd), dtype, weighted=True)
            with planned_for(**device) as found, named(name):
                agrees(logits, target, weight)
            seen = ways(found)
            assert seen == expected, (name, shape, dtype, odd, seen)


@check
def every_way_takes_probabilities_float64_and_halves():
    for name, dtype in itertools.product(
        ("fused_triton_recompute", "fused_triton_capped", "fused_triton_resident", "fused_triton_three_pass"),
        (torch.float64, torch.float16),
    ):  # fmt: skip
        with planned_for(multiprocessors=8) as found, named(name):
            agrees(*tensors((3, 200), dtype, probability=True, weighted=True), label_smoothing=0.1)
            agrees(*tensors((3, 201), dtype), reduction="none")
            agrees(*tensors((2, 131, 2), dtype), reduction="sum")
        assert {planned.kernel for planned in found} == {"sweep"}


@check
def parts_are_merged_to_the_same_bits_whatever_their_number():
    logits, target, _ = tensors((4, 512), torch.float32, ignored=False)
    logits = torch.round(logits)  # sums of few distinct exponentials still differ by order, ties are counted
    for name in ("fused_triton_capped", "fused_triton_recompute"):
        values = set()
        for _ in range(2):
            with planned_for(), named(name):
                leaf = logits.clone().requires_grad_()
                loss = fused(leaf, target)
                loss.backward()
                values.add((loss.item(), leaf.grad.sum().item()))
        assert len(values) == 1


@check
def rows_that_start_anywhere_are_right():
    for classes, start, dtype in itertools.product((131, 1023), (0, 3), (torch.float32, torch.bfloat16)):
        target = torch.tensor([0, classes - 1, 5])
        storage = torch.randn(3 * classes + start).to(dtype)
        with planned_for(tile=128) as found:
            agrees(storage[start:].view(3, classes), target)
            agrees(storage[start:].view(3, classes)[:, : classes - 2], target.clamp(max=classes - 3))
        # rows of so few classes share a program
        assert {planned.kernel for planned in found} == {"sweep"} if classes > 131 else {"rows", "sweep"}


@check
def extreme_rows_are_the_same_on_every_way():
    largest = torch.finfo(torch.float32).max
    logits = torch.full((6, 300), -math.inf)
    logits[0, 299] = 1.0
    logits[1] = largest
    logits[2, ::2], logits[2, 1::2] = largest, -largest
    logits[3, 150] = math.inf
    logits[4] = torch.linspace(-1e4, 1e4, 300)
    target = torch.tensor([299, 7, 0, 1, 299, 2])
    for name in ("fused_triton_recompute", "fused_triton_capped", "fused_triton_three_pass", "fused_triton_resident"):
        with planned_for(multiprocessors=8), named(name):
            agrees(logits, target, reduction="sum")
            agrees(logits[[0, 1, 4]], target[[0, 1, 4]], reduction="mean")


@check
def a_gradient_of_the_forward_pass_is_right_for_any_upstream_and_again():
    for dtype, size in itertools.product((torch.float32, torch.bfloat16), (64, 200)):
        logits, target, _ = tensors((3, size), dtype)
        for upstream in (1.0, -2.5, 0.0, math.inf):
            with planned_for():
                leaf = logits.clone().requires_grad_()
                loss = fused(leaf, target)
                assert loss.grad_fn.gradient is not None
                above = torch.tensor(upstream, dtype=dtype)
                (first,) = torch.autograd.grad(loss, leaf, above, retain_graph=True)
                assert loss.grad_fn.gradient is None
                (second,) = torch.autograd.grad(loss, leaf, above)
            assert first.data_ptr() != second.data_ptr()
            assert torch.equal(first.nan_to_num(7.0), second.nan_to_num(7.0))


@check
def without_a_gradient_none_is_made_in_the_forward_pass():
    logits, target, _ = tensors((5, 300), torch.float32)
    with planned_for() as found:
        fused(logits, target)
        with torch.no_grad():
            fused(logits.clone().requires_grad_(), target)
        fused(logits.clone().requires_grad_(), target, reduction="none")
    assert [planned.cached for planned in found] == [False, False, False]


def exact(logits, target, weight, z_loss, softcap, reduction):
    capped = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    own = {"weight": weight, "reduction": "none"}
    losses = torch.nn.functional.cross_entropy(capped, target, **own)
    share = torch.ones_like(losses)
    if not target.is_floating_point():
        share = (torch.ones(logits.shape[1]).to(logits) if weight is None else weight)[target.clamp(min=0)]
        share = share * (target != -100)
    losses = losses + z_loss * share * torch.logsumexp(capped, 1) ** 2
    return losses.sum() if reduction == "sum" else losses.sum() / share.sum() if reduction == "mean" else losses


@check
def z_loss_and_softcap_agree_with_their_formula_in_float64():
    for (z_loss, softcap), dtype, (probability, classes) in itertools.product(
        ((0.1, None), (1e-3, 5.0)), (torch.float64, torch.float32, torch.bfloat16),
        ((False, 12), (True, 12), (False, 200)),
    ):  # fmt: skip
        logits, target, weight = tensors((3, classes), dtype, probability=probability, weighted=True)
        for name, reduction in (("fused_triton", "mean"), ("fused_triton_three_pass", "sum"), ("fused_triton", "none")):
            leaf, wide = (logits.to(kind).detach().clone().requires_grad_() for kind in (dtype, torch.float64))
            with planned_for(), named(name):
                loss = fused(leaf, target, weight=weight, reduction=reduction, z_loss=z_loss, softcap=softcap)
                upstream = random_upstream(loss)
                loss.backward(upstream)
            other = target.double() if probability else target
            true = exact(wide, other, weight.double(), z_loss, softcap, reduction)
            true.backward(upstream.double())
            # softcap's tanh and slope add a few roundings of size softcap; z_loss squares a logsumexp
            u = 2.0**-53 if dtype == torch.float64 else 2.0**-24
            room = u * (2 * math.log(classes) + classes / 8 + 64 + 8 * (softcap or 0.0))
            ulp = torch.finfo(dtype).eps
            close(loss.detach(), true.detach(), room * (1 + true.detach().abs()), ulp)
            close(leaf.grad, wide.grad, room * (1 + wide.grad.abs().max()), ulp)


@check
def softcap_keeps_its_digits_from_the_smallest_logits_to_the_largest():
    logits = torch.tensor([[1e-30, -1e-20], [1e-3, -3e-4], [0.2, -0.3], [5.0, -9.0], [3e38, -3e38], [math.inf, 0.0]])
    target = torch.zeros(6, dtype=torch.int64)
    for dtype in (torch.float32, torch.float64):
        leaf, wide = (logits.to(kind).detach().clone().requires_grad_() for kind in (dtype, torch.float64))
        loss = fused(leaf, target, softcap=2.0, reduction="none")
        loss.sum().backward()
        true = exact(wide, target, None, 0.0, 2.0, "none")
        true.sum().backward()
        torch.testing.assert_close(loss.double(), true, rtol=16 * torch.finfo(dtype).eps, atol=0)
        # the truth's own 1 − tanh² cancels where the slope is small, ours does not
        slope = 1 / torch.cosh(logits.double() / 2.0) ** 2
        room = 16 * torch.finfo(dtype).eps + 2 * torch.finfo(torch.float64).eps / slope.clamp(min=1e-15)
        assert ((leaf.grad.double() - wide.grad).abs() <= room * wide.grad.abs() + 1e-30).all()


@check
def in_place_overwrites_the_logits_and_says_so():
    logits, target, _ = tensors((5, 300), torch.float32)
    leaf = logits.clone().requires_grad_()
    with planned_for(), named("fused_triton_inplace"):
        loss = fused(leaf, target)
        before = leaf._version
        (gradient,) = torch.autograd.grad(loss, leaf, retain_graph=True)
        assert gradient.data_ptr() == leaf.data_ptr()
        assert leaf._version > before
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()
        with pytest.raises(ValueError, match="share memory"):
            fused(torch.randn(1, 9).expand(3, 9), torch.tensor([0, 1, 2]))


@check
def a_log_sum_that_others_kept_is_told_of_the_overwriting():
    logits, target, _ = tensors((5, 300), torch.float32)
    leaf = logits.clone().requires_grad_()
    kept = leaf * 1.0
    other = kept.exp().sum()  # keeps its own result, not the logits
    squared = (kept * kept).sum()  # keeps the logits
    with planned_for(), named("fused_triton_inplace"):
        fused(kept, target).backward(retain_graph=True)
    other.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squared.backward()


@check
def extra_options_out_of_range_are_refused():
    logits, target = torch.randn(2, 3), torch.tensor([0, 1])
    for options, text in (({"z_loss": -1.0}, "z_loss is -1"), ({"softcap": 0.0}, "softcap is 0"),
                          ({"softcap": math.inf}, "softcap is inf"), ({"z_loss": math.nan}, "z_loss")):  # fmt: skip
        with pytest.raises(ValueError, match=text):
            fused(logits, target, **options)
