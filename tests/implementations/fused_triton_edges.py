"""Interpreted checks of fused_triton where numbers or options run out: extreme rows, ignored rows, refusals."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from tests.implementations.fused_triton_tools import INF, check, fused, tensors


@check
def differs_from_nothing_but_finite_on_extreme_rows():
    largest = torch.finfo(torch.float32).max
    rows = {
        "target at the maximum, the rest −inf": ([0.0, -INF, -INF, -INF], 0),
        "target −inf": ([1.0, -INF, 0.0, 2.0], 1),
        "leading −inf": ([-INF, -INF, 3.0, 2.0], 3),
        "all −inf": ([-INF] * 4, 2),
        "a NaN": ([1.0, math.nan, 0.0, 2.0], 0),
        "a +inf": ([1.0, INF, 0.0, 2.0], 0),
        "target +inf": ([1.0, INF, 0.0, 2.0], 1),
        "±largest, target highest": ([largest, -largest, 0.0, -largest], 0),
        "±largest, target in the middle": ([largest, -largest, 0.0, -largest], 2),
        "±largest, target lowest": ([largest, -largest, 0.0, -largest], 1),
        "all at −largest": ([-largest] * 4, 3),
        "offset": ([1e4, 1e4 - 1, 1e4 - 3, -1e4], 1),
        "tied": ([5.0, 5.0, 5.0, -5.0], 1),
    }
    logits = torch.tensor([row for row, _ in rows.values()])
    target = torch.tensor([index for _, index in rows.values()])
    leaf, wide = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, expected = fused(leaf, target, reduction="none"), F.cross_entropy(wide, target, reduction="none")
    torch.testing.assert_close(loss, expected, equal_nan=True)
    loss.backward(torch.ones_like(loss))
    expected.backward(torch.ones_like(loss))
    torch.testing.assert_close(leaf.grad, wide.grad, equal_nan=True)
    for index in range(len(rows)):  # each alone, and behind a block of −inf that has no maximum yet
        assert same(fused(logits[index : index + 1], target[index : index + 1]), loss[index].detach())
        behind = torch.cat((torch.full((1, 8192), -INF), logits[index : index + 1]), 1)
        torch.testing.assert_close(
            fused(behind, target[index : index + 1] + 8192), expected[index].detach(), equal_nan=True
        )


def same(a, b):
    return torch.equal(a, b) or bool(a.isnan() & b.isnan())


@check
def shifting_the_logits_changes_nothing():
    logits = torch.randint(-20, 20, (4, 50)).float()
    target = torch.tensor([0, 10, 20, 49])
    for shift in (4096.0, -8192.0):
        assert torch.equal(fused(logits + shift, target, reduction="none"), fused(logits, target, reduction="none"))


@check
def a_loss_near_zero_keeps_its_digits():
    logits = torch.zeros(1, 2)
    for gap in (10.0, 17.0, 40.0, 80.0):
        logits[0, 0] = gap
        leaf = logits.clone().requires_grad_()
        loss = fused(leaf, torch.tensor([0]))
        loss.backward()
        exact = math.log1p(math.exp(-gap))
        assert abs(loss.item() - exact) < 1e-5 * exact
        assert abs(leaf.grad[0, 0].item() + exact) < 1e-4 * exact


@check
def masked_classes_cost_what_their_mass_says():
    logits = torch.tensor([[1.0, -INF, 2.0]])
    one_hot = torch.tensor([[0.0, 0.0, 1.0]])
    assert same(fused(logits, one_hot), fused(logits, torch.tensor([2])))
    assert fused(logits, torch.tensor([2]), label_smoothing=0.1).item() == INF
    assert fused(logits, one_hot, label_smoothing=0.1).item() == INF
    weight = torch.tensor([1.0, 0.0, 1.0])
    assert math.isfinite(fused(logits, torch.tensor([2]), weight=weight, label_smoothing=0.1).item())
    assert fused(logits, torch.tensor([1]), weight=weight, reduction="sum").item() == 0.0


@check
def ignored_rows_are_exactly_zero_whatever_they_hold():
    for bad in (math.nan, INF, -INF, 1.0):
        for options in ({}, {"label_smoothing": 0.1}, {"weight": torch.rand(4)}):
            logits = torch.randn(3, 4)
            logits[1] = bad
            leaf = logits.clone().requires_grad_()
            loss = fused(leaf, torch.tensor([0, -100, 2]), reduction="none", **options)
            loss.sum().backward()
            assert loss[1].item() == 0.0
            assert torch.equal(leaf.grad[1], torch.zeros(4))
            assert loss.isfinite().all()
            assert leaf.grad.isfinite().all()


@check
def nothing_to_average_is_nan_and_nothing_to_sum_is_zero():
    for logits, target in (
        (torch.randn(3, 4), torch.full((3,), -100)), (torch.randn(0, 4), torch.zeros(0, dtype=torch.int64))
    ):  # fmt: skip
        for options in ({}, {"label_smoothing": 0.1}, {"weight": torch.rand(4)}):
            leaf = logits.clone().requires_grad_()
            assert fused(leaf, target, **options).isnan()
            assert fused(leaf, target, reduction="sum", **options).item() == 0.0
            assert torch.equal(fused(leaf, target, reduction="none", **options), torch.zeros(len(logits)))
            fused(leaf, target, **options).backward()
            assert torch.equal(leaf.grad, torch.zeros_like(logits))


@check
def a_target_out_of_range_makes_its_row_nan_and_no_other():
    for index in (-1, 4, 2**40, -(2**40)):
        for options in ({}, {"label_smoothing": 0.1}, {"weight": torch.rand(4)}):
            leaf = torch.randn(3, 4).requires_grad_()
            loss = fused(leaf, torch.tensor([0, index, 2]), reduction="none", **options)
            loss.backward(torch.ones(3))
            assert loss.isnan().tolist() == [False, True, False]
            assert leaf.grad.isnan().any(1).tolist() == [False, True, False]


@check
def any_ignore_index_is_obeyed():
    logits, _, weight = tensors((6, 5), torch.float32, weighted=True)
    for ignore_index in (0, 3, -1, 7, 2**40):
        target = torch.tensor([0, 3, ignore_index, 1, ignore_index, 4])
        valid = target.clone()
        valid[target == ignore_index] = -100
        ours = fused(logits, target, weight=weight, ignore_index=ignore_index)
        torch.testing.assert_close(ours, F.cross_entropy(logits, valid, weight=weight))


@check
def inputs_are_left_alone_and_backward_can_be_repeated():
    logits, target, weight = tensors((4, 9), torch.float32, weighted=True)
    leaf, kept = logits.clone().requires_grad_(), target.clone()
    loss = fused(leaf, target, weight=weight)
    upstream = torch.tensor(3.0)
    (first,) = torch.autograd.grad(loss, leaf, upstream, retain_graph=True)
    copy = first.clone()
    (second,) = torch.autograd.grad(loss, leaf, upstream, retain_graph=True)
    assert torch.equal(copy, second)
    assert torch.equal(copy, first)
    assert torch.equal(leaf.detach(), logits)
    assert torch.equal(target, kept)
    assert upstream.item() == 3.0
    assert leaf._version == 0


@check
def only_asked_for_gradients_are_made():
    logits, target, weight = tensors((4, 9), torch.float32, probability=True, weighted=True)
    target.requires_grad_()
    loss = fused(logits, target, weight=weight)
    assert loss.requires_grad
    loss.backward()
    assert logits.grad is None
    assert target.grad is not None
    with torch.no_grad():
        assert not fused(logits, target, weight=weight).requires_grad


@check
def what_has_no_answer_is_refused_by_name():
    logits, target = torch.randn(2, 3, requires_grad=True), torch.tensor([0, 1])
    refuses(
        NotImplementedError,
        "double backward",
        lambda: torch.autograd.grad(fused(logits, target), logits, create_graph=True),
    )
    refuses(NotImplementedError, "weight", lambda: fused(logits, target, weight=torch.ones(3, requires_grad=True)))
    refuses(ValueError, "reduction is 'avg'", lambda: fused(logits, target, reduction="avg"))
    refuses(ValueError, "label_smoothing is 2", lambda: fused(logits, target, label_smoothing=2))
    refuses(ValueError, "ignore_index is 1", lambda: fused(logits, torch.ones(2, 3), ignore_index=1))
    refuses(ValueError, "target has shape", lambda: fused(logits, target[:1]))
    refuses(ValueError, "weight has shape", lambda: fused(logits, target, weight=torch.ones(2)))
    refuses(ValueError, "no classes", lambda: fused(torch.randn(2, 0), target))
    refuses(TypeError, "target is torch.int32", lambda: fused(logits, target.int()))
    refuses(TypeError, "logits are torch.int64", lambda: fused(target.view(1, 2), target[:1]))


def refuses(kind, text, call):
    with pytest.raises(kind, match=text):
        call()
