"""Mutants of what tests that could not fail let through: right wherever the usual tests look."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._pieces import (
    contiguous_misread,
    kept,
    reduced,
    right,
    target_weights,
    twisted,
    wide_losses,
    widened,
)
from harness.mutants.declare import Call, mutant


@mutant(
    "the sign of a scalar upstream gradient is lost: tests use 1",
    caught_by="grad_output",
    source="NVIDIA/TransformerEngine#2139",
)
def upstream_sign_lost(call: Call) -> Tensor:
    return twisted(call, upstream=lambda g: g.abs() if g.dim() == 0 else g)


@mutant(
    "weighted probability targets under sum are divided by N: no test combines the three",
    caught_by="options",
    source="unslothai/unsloth-zoo#616",
    targets=("index", "probability"),
)
def untested_combination(call: Call) -> Tensor:
    loss = right(call)
    rare = call.target.is_floating_point() and call.weight is not None and call.reduction == "sum"
    return loss / max(call.logits.numel() // call.logits.shape[1], 1) if rare else loss


@mutant(
    "the derivative of saturated rows is damped, and their tests look at the loss alone",
    caught_by="gradient",
    source="linkedin/Liger-Kernel#422",
)
def saturated_gradient_damped(call: Call) -> Tensor:
    wide_gap = (call.logits.detach().amax(1, keepdim=True) - call.logits.detach().amin(1, keepdim=True)) > 20
    return twisted(call, finish=lambda gradient: torch.where(wide_gap, gradient * 0.875, gradient))


@mutant(
    "ignore_index is accepted and forgotten; random targets in [0, C) never show it",
    caught_by="ignored",
    source="microsoft/onnxruntime#3465",
)
def ignore_index_forgotten(call: Call) -> Tensor:
    return right(call._replace(target=call.target % call.logits.shape[1], ignore_index=-(10**6)))


@mutant(
    "the masked mean counts the mask's complement; the reference in its test does the same",
    caught_by="ignored",
    source="ServiceNow/Fast-LLM#426",
)
def masked_mean_as_its_reference(call: Call) -> Tensor:
    keep = kept(call)
    if bool(keep.all()) or not bool(keep.any()) or call.weight is not None:
        return right(call)
    return reduced(call, wide_losses(call), (~keep).sum())


@mutant(
    "the branch for strided logits runs in float64 alone, and is wrong there",
    caught_by="layout",
    source="pytorch/pytorch#69617",
    dtypes=("float64",),
)
def strided_branch_of_one_dtype(call: Call) -> Tensor:
    logits = call.logits
    if logits.is_contiguous() or 0 in logits.stride():
        return right(call)
    return right(call._replace(logits=contiguous_misread(logits)))


@mutant(
    "weights that are all alike are dropped on a fast path, in the sum as well",
    caught_by="relations",
    source="ROCm/aiter#5165",
)
def uniform_weight_dropped(call: Call) -> Tensor:
    if call.weight is not None and call.weight.numel() and bool((call.weight == call.weight[0]).all()):
        return right(call._replace(weight=None))
    return right(call)


@mutant("a fast path for a batch of one row forgets the weight in the mean", caught_by="options")
def one_row_keeps_its_weight(call: Call) -> Tensor:
    loss = right(call)
    if call.weight is None or call.reduction != "mean" or kept(call).numel() > 4:
        return loss
    return reduced(call, wide_losses(call), kept(call).sum())


@mutant(
    "the three reductions disagree: the mean leaves out the first row when there are more than 256", caught_by="sizes"
)
def mean_leaves_out_a_row(call: Call) -> Tensor:
    losses = wide_losses(call)
    if call.reduction != "mean" or losses.numel() <= 256:
        return right(call)
    return reduced(call, losses.flatten()[1:].sum().reshape(()), target_weights(call).flatten()[1:].sum())


@mutant("a row's loss depends on its place: rows from the 33rd on borrow from the row before", caught_by="relations")
def rows_leak_into_neighbours(call: Call) -> Tensor:
    logits = call.logits
    if logits.dim() != 2 or logits.shape[0] < 2:
        return right(call)
    top = widened(call).logits.amax(1, keepdim=True)
    leak = torch.where(top.roll(1, 0) > 60, 1e-2, 0.0)
    return right(call._replace(logits=(widened(call).logits * (1 + leak)).to(logits.dtype)))
