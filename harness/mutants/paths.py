"""Mutants with a path of their own for many rows, strides or options taken together: right on every other path."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.mutants._pieces import (
    OfLogits,
    contiguous_misread,
    gradient_of,
    kept,
    reduced,
    right,
    twisted,
    wide_losses,
)
from harness.mutants.declare import Call, mutant

#: Rows from which a kernel takes its path for large batches.
_MANY = 2048


def _many(call: Call) -> bool:
    return call.target.shape[0] >= _MANY


def _strided(call: Call) -> bool:
    return not call.logits.is_contiguous()


def _deep(call: Call) -> bool:
    return call.logits.dim() > 2


@mutant("from 2048 rows on, the class weight is forgotten", caught_by="sizes")
def weight_forgotten_for_many_rows(call: Call) -> Tensor:
    return right(call._replace(weight=None) if _many(call) else call)


@mutant("from 2048 rows on, label smoothing is forgotten", caught_by="sizes")
def smoothing_forgotten_for_many_rows(call: Call) -> Tensor:
    return right(call._replace(label_smoothing=0.0) if _many(call) else call)


@mutant("from 2048 rows on, ignored rows count in the mean", caught_by="sizes")
def ignored_counted_for_many_rows(call: Call) -> Tensor:
    if not _many(call) or call.weight is not None or call.label_smoothing:
        return right(call)
    return reduced(call, wide_losses(call), kept(call).numel())


@mutant("from 2048 rows on, ignored rows keep the gradient of class 0; the loss is right", caught_by="sizes")
def ignored_gradient_for_many_rows(call: Call) -> Tensor:
    if not _many(call) or call.target.is_floating_point():
        return right(call)
    # the loss of rows that do not count, taken away again: its gradient stays
    shown = wide_losses(call._replace(target=torch.where(kept(call), call.target, 0), ignore_index=-(10**6)))
    extra = torch.where(kept(call), 0, shown).sum() / call.target.numel()
    return right(call) + (extra - extra.detach()).to(call.logits.dtype)


@mutant("weight and smoothing together, from 2048 rows on: the smoothing term is not weighted", caught_by="sizes")
def smoothing_unweighted_for_many_rows(call: Call) -> Tensor:
    if not _many(call) or not call.label_smoothing or call.weight is None or call.target.is_floating_point():
        return right(call)
    hard = wide_losses(call._replace(label_smoothing=0.0)) * (1 - call.label_smoothing)
    even = wide_losses(call._replace(weight=None, label_smoothing=1.0)) * call.label_smoothing
    return reduced(call, hard + even)


@mutant("of strided logits, ignore_index is taken for -100", caught_by="layout")
def ignore_index_forgotten_when_strided(call: Call) -> Tensor:
    return right(call._replace(ignore_index=-100) if _strided(call) else call)


@mutant("in more than two dimensions, ignore_index is taken for -100 once rows are weighted", caught_by="layout")
def ignore_index_forgotten_in_dimensions(call: Call) -> Tensor:
    return right(call._replace(ignore_index=-100) if _deep(call) and call.weight is not None else call)


@mutant("of strided logits of more than two dimensions, the class weight is forgotten", caught_by="layout")
def weight_forgotten_when_strided(call: Call) -> Tensor:
    return right(call._replace(weight=None) if _deep(call) and _strided(call) else call)


@mutant("of strided logits of more than two dimensions, label smoothing is forgotten", caught_by="layout")
def smoothing_forgotten_when_strided(call: Call) -> Tensor:
    return right(call._replace(label_smoothing=0.0) if _deep(call) and _strided(call) else call)


@mutant(
    "probability targets of more than two dimensions are read as if they were contiguous",
    caught_by="layout",
    targets=("index", "probability"),
)
def strided_probabilities_misread(call: Call) -> Tensor:
    if not _deep(call) or not call.target.is_floating_point() or call.target.is_contiguous():
        return right(call)
    return right(call._replace(target=contiguous_misread(call.target)))


@mutant("transposed logits are shifted in place by their maximum", caught_by="layout")
def transposed_logits_shifted_in_place(call: Call) -> Tensor:
    logits = call.logits
    transposed = logits.dim() == 2 and logits.stride(0) == 1 and logits.stride(1) > 1
    loss = right(call)
    if transposed and logits.numel():
        logits.data.sub_(logits.detach().amax(1, keepdim=True))
    return loss


@mutant("from 600 classes on, where they are odd, the gradient is written into the logits", caught_by="sizes")
def odd_classes_overwritten(call: Call) -> Tensor:
    if call.logits.shape[1] < 600 or call.logits.shape[1] % 2 == 0 or call.logits.shape[1] > 1000:
        return right(call)

    def finish(gradient: Tensor) -> Tensor:
        call.logits.data.copy_(gradient)  # unknown to the version counter
        return gradient

    return twisted(call, finish=finish)


@mutant("weighted and smoothed, ignored targets are set to class 0 in place", caught_by="options")
def ignored_targets_overwritten(call: Call) -> Tensor:
    loss = right(call)
    if call.weight is not None and call.label_smoothing and not call.target.is_floating_point():
        call.target.data.masked_fill_(~kept(call), 0)
    return loss


class _Unweighted(OfLogits):
    """The identity of logits whose own derivative, taken twice, is that of rows without their weights."""

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (logits,) = ctx.saved_tensors
        first = gradient_of(ctx.call._replace(logits=logits), grad_output)
        if not torch.is_grad_enabled():
            return first, None
        plain = right(ctx.call._replace(logits=logits, weight=None))
        (second,) = torch.autograd.grad(plain, logits, grad_output.to(plain.dtype), create_graph=True)
        return first + (second - second.detach()), None


@mutant("under class weights the second derivative is that of rows without them", caught_by="grad_output")
def curvature_unweighted(call: Call) -> Tensor:
    if call.weight is None or not call.logits.requires_grad or not torch.is_grad_enabled():
        return right(call)
    return _Unweighted.apply(call.logits, call)


@mutant(
    "under label smoothing the gradient of probability targets lacks 1 - ε",
    caught_by="grad_output",
    targets=("index", "probability"),
)
def target_gradient_unsmoothed(call: Call) -> Tensor:
    if not call.target.is_floating_point() or not 0 < call.label_smoothing < 1:
        return right(call)
    target = call.target
    return right(call._replace(target=target.detach() + (target - target.detach()) / (1 - call.label_smoothing)))


@mutant(
    "of losses that are not reduced, the gradient of probability targets lacks the class weight",
    caught_by="grad_output",
    targets=("index", "probability"),
)
def target_gradient_unweighted(call: Call) -> Tensor:
    if not call.target.is_floating_point() or call.weight is None or call.reduction != "none":
        return right(call)
    target = call.target
    shape = (1, -1, *(1,) * (target.dim() - 2))
    moved = (target - target.detach()) / call.weight.reshape(shape).clamp_min(1e-3)
    return right(call._replace(target=target.detach() + moved))


@mutant("strided logits are summed in bfloat16 where they are float32", caught_by="layout")
def strided_sum_in_half(call: Call) -> Tensor:
    if not _strided(call) or call.logits.dtype != torch.float32 or call.logits.dim() == 2:
        return right(call)
    return right(call).to(torch.bfloat16).to(torch.float32)


@mutant(
    "an upstream gradient whose first entry is 1 is taken for all ones, and not multiplied with",
    caught_by="grad_output",
)
def upstream_of_one_by_its_first_entry(call: Call) -> Tensor:
    def upstream(g: Tensor) -> Tensor:
        return torch.ones_like(g) if g.numel() and bool(g.flatten()[0] == 1) else g

    return twisted(call, upstream=upstream)


@mutant("where deterministic algorithms are asked for, another path sums in bfloat16", caught_by="composition")
def deterministic_path_differs(call: Call) -> Tensor:
    if not torch.are_deterministic_algorithms_enabled():
        return right(call)
    rows = call.logits.to(torch.bfloat16)
    return right(call._replace(logits=call.logits + (rows - call.logits).detach()))


@mutant("a temperature is read from the default dtype's resolution, which a user may have set", caught_by="composition")
def default_dtype_read(call: Call) -> Tensor:
    if torch.get_default_dtype() == torch.float32:
        return right(call)
    return right(call._replace(logits=call.logits * (1 + 2.0**-10)))
