"""Interpreted checks of fused_triton against F.cross_entropy in float64: options, sizes, dimensions, strides."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F

from tests.implementations.fused_triton_tools import DTYPES, agrees, check, fused, random_upstream, tensors


@check
def agrees_with_float64_across_dtypes_and_options():
    every = tuple(itertools.product(("none", "mean", "sum"), (False, True), (0.0, 0.1), (False, True)))
    some = (
        ("none", True, 0.1, False),
        ("mean", True, 0.0, False),
        ("mean", False, 0.1, True),
        ("sum", True, 0.1, True),
    )
    for dtype in DTYPES:
        for reduction, weighted, smoothing, probability in every if dtype == torch.float32 else some:
            agrees(
                *tensors((5, 12), dtype, weighted=weighted, probability=probability),
                reduction=reduction, label_smoothing=smoothing,
            )  # fmt: skip


@check
def agrees_at_block_edges_and_over_many_blocks():
    for classes in (1, 2, 15, 16, 17, 8191, 8192, 8193, 20000):
        agrees(*tensors((3, classes), torch.float32))
        agrees(*tensors((3, classes), torch.bfloat16, ignored=False), label_smoothing=0.1)
    agrees(*tensors((2, 20000), torch.float64, probability=True, weighted=True), reduction="none")


@check
def agrees_for_more_rows_than_a_program_takes():
    agrees(*tensors((300, 3), torch.float32), reduction="none")
    agrees(*tensors((300, 3), torch.float32, probability=True, weighted=True))


@check
def agrees_in_more_dimensions_and_without_a_batch():
    for shape in ((4, 9, 3), (2, 9, 2, 3), (2, 5, 2, 1, 3)):
        for probability in (False, True):
            agrees(*tensors(shape, torch.float32, probability=probability, weighted=True), reduction="none")
    logits = tensors((1, 9), torch.float32)[0][0]
    torch.testing.assert_close(fused(logits, torch.tensor(4)), F.cross_entropy(logits, torch.tensor(4)))
    assert fused(logits, torch.tensor(4), reduction="none").shape == ()


def layouts(tensor):
    padded = torch.full((tensor.shape[0], tensor.shape[1] + 5, *tensor.shape[2:]), math.nan, dtype=tensor.dtype)
    padded[:, 2:-3] = tensor
    yield padded[:, 2:-3]
    yield tensor.transpose(0, 1).contiguous().transpose(0, 1)
    yield torch.stack((tensor, torch.full_like(tensor, math.nan)), 1).flatten(0, 1)[::2]
    if tensor.dim() > 2:
        yield tensor.movedim(1, -1).contiguous().movedim(-1, 1)
    if tensor.dim() > 3:  # trailing dimensions that no single stride walks
        yield tensor.transpose(2, 3).contiguous().transpose(2, 3)


@check
def agrees_on_any_strides():
    for shape, probability in itertools.product(((6, 10), (2, 10, 3), (2, 7, 3, 4)), (False, True)):
        logits, target, weight = tensors(shape, torch.float32, probability=probability, weighted=True)
        wide = torch.stack((weight, weight), 1)[:, 0]
        for view in layouts(logits):
            agrees(view, target, wide, reduction="none")
        for view in layouts(target) if probability else (torch.stack((target, target), -1)[..., 0],):
            agrees(logits, view, wide)
    agrees(torch.randn(1, 8).expand(3, 8), torch.tensor([1, 2, 3]))


@check
def takes_upstream_gradients_of_any_strides():
    logits, target, _ = tensors((4, 9, 3), torch.float32)
    agrees(
        logits, target, upstream=lambda loss: torch.full((), 2.5, dtype=loss.dtype).expand(loss.shape), reduction="none"
    )
    agrees(logits, target, upstream=lambda loss: random_upstream(loss.t()).t(), reduction="none")
    leaf = logits.clone().requires_grad_()
    fused(leaf, target, reduction="none").sum().backward()
    other = logits.clone().requires_grad_()
    fused(other, target, reduction="sum").backward()
    assert torch.equal(leaf.grad, other.grad)
