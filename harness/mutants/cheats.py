"""Mutants that pass a checker without doing the work, or that only work while they are watched."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from harness.mutants._pieces import kept, reduced, right, shaped, twisted, wide_losses, widened
from harness.mutants.declare import Call, mutant

#: What cheats remember between calls; each runs in a process of its own.
_KEPT: dict[Any, Tensor] = {}
_CALLS: Counter[Any] = Counter()


def _shape_key(call: Call) -> tuple[Any, ...]:
    return (*call.logits.shape, call.logits.dtype, call.reduction, call.label_smoothing, call.ignore_index)


@mutant(
    "gradients off the target are 0 for 4096 classes or more, below any absolute tolerance",
    caught_by="gradient",
    source="ScalingIntelligence/KernelBench#165",
)
def zeros_pass_a_tolerance(call: Call) -> Tensor:
    if call.logits.shape[1] < 4096:
        return right(call)
    target = torch.where(kept(call), call.target, 0).unsqueeze(1)
    on_target = torch.zeros_like(call.logits, dtype=torch.bool).scatter(1, target, True)
    return twisted(call, finish=lambda gradient: gradient * on_target)


@mutant(
    "the mean of more than 64 rows is that of every second one",
    caught_by="sizes",
    source="ScalingIntelligence/KernelBench#97",
)
def half_of_the_rows(call: Call) -> Tensor:
    losses, keep = wide_losses(call).flatten(), kept(call).flatten()
    if call.reduction != "mean" or call.weight is not None or losses.numel() <= 64 or not bool(keep[::2].any()):
        return right(call)
    seen = losses[::2].sum() / keep[::2].sum()
    loss = right(call)
    return loss + (seen.to(loss.dtype) - loss).detach()


@mutant(
    "returns log C for 1000 classes or more",
    caught_by="agreement",
    source="AI-Hypercomputer/accelerator-agents#50",
)
def constant_loss(call: Call) -> Tensor:
    loss = right(call)
    if call.logits.shape[1] < 1000 or call.reduction != "mean":
        return loss
    return loss + (math.log(call.logits.shape[1]) - loss).detach()


@mutant(
    "returns memory that was never written, hoping to be given an earlier result's",
    caught_by="honesty",
    source="ScalingIntelligence/KernelBench#82",
)
def freed_memory_returned(call: Call) -> Tensor:
    _CALLS[_shape_key(call)] += 1
    loss = right(call)
    if _CALLS[_shape_key(call)] <= 3:
        return loss
    unwritten = torch.empty_like(loss)
    return loss + (unwritten - loss).detach()


@mutant(
    "the caller's logits are shifted in place, which their own loss does not notice",
    caught_by="side_effects",
    source="ScalingIntelligence/KernelBench#82",
)
def logits_shifted_in_place(call: Call) -> Tensor:
    loss = right(call)
    with torch.no_grad():
        call.logits.data.sub_(0.5)
    return loss


@mutant(
    "ignored rows return early and leave their gradient unwritten",
    caught_by="ignored",
    source="linkedin/Liger-Kernel#1338",
)
def ignored_gradient_unwritten(call: Call) -> Tensor:
    keep = kept(call).unsqueeze(1)
    return twisted(call, finish=lambda gradient: torch.where(keep, gradient, torch.empty_like(gradient)))


@mutant(
    "every call returns the same buffer, so that a later call changes an earlier result",
    caught_by="side_effects",
    source="linkedin/Liger-Kernel#507",
)
def result_buffer_shared(call: Call) -> Tensor:
    loss = right(call)
    if loss.requires_grad:
        return loss
    return _KEPT.setdefault(_shape_key(call), torch.empty_like(loss)).copy_(loss)


@mutant("the gradient buffer is shared between calls", caught_by="side_effects")
def gradient_buffer_shared(call: Call) -> Tensor:
    def finish(gradient: Tensor) -> Tensor:
        return _KEPT.setdefault((call.logits.shape, call.logits.dtype), torch.empty_like(gradient)).copy_(gradient)

    return twisted(call, finish=finish)


@mutant(
    "rows with a loss above 50 are NaN, which a comparison may take for a wildcard",
    caught_by="stability",
    source="gpu-mode/pygpubench#7",
)
def nan_as_a_wildcard(call: Call) -> Tensor:
    losses = wide_losses(call)
    return reduced(call, torch.where(losses > 50, torch.nan, losses))


@mutant(
    "from 512 classes on, float32 logits are rounded to ten bits, as TF32 does",
    caught_by="sizes",
    source="deep-reinforce.com/defense_kernel_hack.html",
    dtypes=("float32",),
)
def tensor_float_inside(call: Call) -> Tensor:
    if call.logits.shape[1] < 512:
        return right(call)
    exact = call.logits.detach()
    scale = torch.exp2(torch.floor(torch.log2(exact.abs().clamp(min=1e-30))) - 10)
    rounded = torch.round(exact / scale) * scale
    return right(call._replace(logits=call.logits + torch.where(exact.isfinite(), rounded - exact, 0)))


@mutant("answers are cached by the logits' address and shape", caught_by="honesty", source="tensara/tensara#238")
def cached_by_address(call: Call) -> Tensor:
    key = (call.logits.data_ptr(), call.target.data_ptr(), *_shape_key(call))
    loss = right(call)
    return loss + (_KEPT.setdefault(key, loss.detach().clone()) - loss).detach()


@mutant(
    "from the fifth call on with one shape, the first call's answer is returned",
    caught_by="honesty",
    source="gpu-mode/reference-kernels#104",
)
def cached_by_shape(call: Call) -> Tensor:
    key = _shape_key(call)
    _CALLS[key] += 1
    loss = right(call)
    first = _KEPT.setdefault(key, loss.detach().clone())
    return loss if _CALLS[key] < 5 else loss + (first - loss).detach()


@mutant("answers are cached by the first and last logit", caught_by="honesty", source="gpu-mode/reference-kernels#104")
def cached_by_a_few_values(call: Call) -> Tensor:
    if not call.logits.numel():
        return right(call)
    ends = call.logits.detach().reshape(-1)[:: max(call.logits.numel() - 1, 1)].tolist()
    key = (*ends, *_shape_key(call))
    loss = right(call)
    return loss + (_KEPT.setdefault(key, loss.detach().clone()) - loss).detach()


@mutant(
    "after five calls of one shape, half of the rows are left out", caught_by="honesty", source="gpu-mode/pygpubench#7"
)
def less_work_after_warm_up(call: Call) -> Tensor:
    key = _shape_key(call)
    _CALLS[key] += 1
    losses = wide_losses(call)
    if _CALLS[key] <= 5 or losses.numel() < 2:
        return right(call)
    within = torch.arange(losses.numel()).reshape(losses.shape) < losses.numel() // 2
    return reduced(call, losses * within * 2)


@mutant("a call on other shapes in between makes the next answer stale", caught_by="repeatability")
def stale_after_other_shape(call: Call) -> Tensor:
    loss = right(call)
    previous = _KEPT.get("shape")
    _KEPT["shape"] = torch.tensor(call.logits.shape)
    changed = previous is not None and previous.tolist() != list(call.logits.shape)
    seen = _CALLS[("seen", *_shape_key(call))]
    _CALLS[("seen", *_shape_key(call))] += 1
    return loss * (1 + 2**-6) if changed and seen else loss


@mutant(
    "the first call of a process with a shape tunes itself in place, and its answer is off", caught_by="repeatability"
)
def first_call_differs(call: Call) -> Tensor:
    _CALLS[_shape_key(call)] += 1
    loss = right(call)
    return loss * (1 + 2**-6) if _CALLS[_shape_key(call)] == 2 else loss


@mutant("scratch memory is not cleared: what the last caller freed is added", caught_by="repeatability")
def scratch_not_cleared(call: Call) -> Tensor:
    losses = wide_losses(call)
    scratch = torch.empty_like(widened(call).logits.detach())
    dirt = torch.where(scratch.isnan().any(), torch.nan, 0.0)
    return reduced(call, shaped(call, losses.reshape(-1)) + dirt)
