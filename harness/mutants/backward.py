"""Mutants of the backward pass and of the upstream gradient; their losses are right."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from harness.mutants._pieces import contiguous_misread, gradient_of, right, twisted, unchanged, widened
from harness.mutants.declare import Call, mutant


@mutant("the backward ignores grad_output", caught_by="grad_output", source="pytorch/pytorch#94226")
def upstream_ignored(call: Call) -> Tensor:
    return twisted(call, upstream=torch.ones_like)


@mutant(
    "reduction none scales every row by grad_output[0]", caught_by="grad_output", source="linkedin/Liger-Kernel#1298"
)
def upstream_of_first_row(call: Call) -> Tensor:
    return twisted(call, upstream=lambda g: g.flatten()[:1].expand(g.numel()).reshape(g.shape) if g.numel() else g)


@mutant(
    "a fast path takes grad_output for ones when its first entry is 1",
    caught_by="grad_output",
    source="NVIDIA/TransformerEngine#2139",
)
def upstream_fast_path(call: Call) -> Tensor:
    return twisted(call, upstream=lambda g: torch.ones_like(g) if g.numel() and bool(g.flatten()[0] == 1) else g.abs())


@mutant(
    "a grad_output of stride 0 is read past its one element",
    caught_by="grad_output",
    source="ROCm/TransformerEngine#623",
)
def expanded_upstream_misread(call: Call) -> Tensor:
    def read(g: Tensor) -> Tensor:
        return g * (torch.arange(g.numel()).reshape(g.shape) == 0) if g.dim() and g.stride()[-1] == 0 else g

    return twisted(call, upstream=read)


@mutant(
    "a transposed or sliced grad_output is read as if it were contiguous",
    caught_by="grad_output",
    source="NVIDIA/TransformerEngine#2402",
)
def strided_upstream_misread(call: Call) -> Tensor:
    def read(g: Tensor) -> Tensor:
        return g if g.is_contiguous() or 0 in g.stride() else contiguous_misread(g)

    return twisted(call, upstream=read)


@mutant("a grad_output of zeros is taken for a missing one", caught_by="grad_output", source="torch/nn#832")
def zero_upstream_replaced(call: Call) -> Tensor:
    return twisted(call, upstream=lambda g: g if bool(g.any()) else torch.ones_like(g))


@mutant("the gradient of reduction none is all zeros", caught_by="gradient", source="microsoft/DirectML#739")
def none_gradient_is_zero(call: Call) -> Tensor:
    return twisted(call, finish=torch.zeros_like if call.reduction == "none" else unchanged)


@mutant("the upstream gradient is clipped to 1000, below a loss scaler's 65536", caught_by="grad_output")
def upstream_clipped(call: Call) -> Tensor:
    return twisted(call, upstream=lambda g: g.clamp(-1000, 1000))


class _SavedOnce(torch.autograd.Function):
    """Keeps the gradient made in the forward and scales it in place, so a second backward finds it scaled already."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        loss = right(call._replace(logits=logits))
        ctx.gradient = gradient_of(call._replace(logits=logits), torch.ones_like(loss))
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        gradient = ctx.gradient
        gradient *= grad_output if grad_output.dim() == 0 else grad_output.unsqueeze(1)
        return gradient, None


@mutant(
    "a second backward finds the saved gradient scaled by the first",
    caught_by="grad_output",
    source="Dao-AILab/quack#209",
)
def saved_gradient_scaled_in_place(call: Call) -> Tensor:
    return _SavedOnce.apply(call.logits, call) if call.logits.requires_grad and torch.is_grad_enabled() else right(call)


@mutant(
    "the backward writes the gradient over the caller's logits",
    caught_by="side_effects",
    source="unslothai/unsloth#5002",
)
def backward_overwrites_logits(call: Call) -> Tensor:
    logits = call.logits.detach()

    def finish(gradient: Tensor) -> Tensor:
        logits.copy_(gradient)
        return gradient

    return twisted(call, finish=finish)


@mutant(
    "float() is a no-op on float32, so the maximum is subtracted from the caller's own logits",
    caught_by="side_effects",
    source="NVIDIA/Megatron-LM#1594",
)
def float_is_no_copy(call: Call) -> Tensor:
    loss = right(call)
    rows = call.logits.detach().float()
    if rows.numel():
        rows.sub_(rows.amax(1, keepdim=True))
    return loss


class _SumForgotten(torch.autograd.Function):
    """The backward of probability targets without the factor Σp."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        ctx.save_for_backward(logits, call.target)
        ctx.rows = call.target.numel() // call.target.shape[1] if call.reduction == "mean" else 1
        return right(call._replace(logits=logits))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        logits, target = ctx.saved_tensors
        scale = grad_output if grad_output.dim() == 0 else grad_output.unsqueeze(1)
        wide = torch.softmax(logits.double(), 1) - target.double()
        return (wide * scale.double() / ctx.rows).to(logits.dtype), None


@mutant(
    "the gradient of probability targets takes it that they sum to 1",
    caught_by="relations",
    source="NVIDIA-NeMo/Automodel#2428",
    targets=("index", "probability"),
)
def probability_sum_forgotten(call: Call) -> Tensor:
    if not call.target.is_floating_point() or call.weight is not None or call.label_smoothing:
        return right(call)
    return _SumForgotten.apply(call.logits, call)


@mutant(
    "the gradient of probability targets that ask for one is missing, without an error",
    caught_by="grad_output",
    source="pytorch/pytorch#188296",
    targets=("index", "probability"),
)
def target_gradient_missing(call: Call) -> Tensor:
    return right(call._replace(target=call.target.detach()))


@mutant(
    "the gradient is NaN at classes masked by -inf, though the loss is finite",
    caught_by="stability",
    source="google-deepmind/optax#1762",
)
def masked_gradient_is_nan(call: Call) -> Tensor:
    masked = call.logits.detach().isneginf()
    return twisted(call, finish=lambda gradient: torch.where(masked, torch.nan, gradient))


@mutant(
    "raises when the target asks for a gradient and the logits do not",
    caught_by="grad_output",
    source="linkedin/Liger-Kernel#1157",
    targets=("index", "probability"),
)
def some_inputs_frozen_raises(call: Call) -> Tensor:
    if call.target.requires_grad and not call.logits.requires_grad and torch.is_grad_enabled():
        raise AttributeError("'NoneType' object has no attribute 'view'")
    return right(call)


@mutant("reduction sum returns a loss cut off from the graph", caught_by="gradient", source="flagos-ai/FlagGems#6259")
def sum_has_no_grad_fn(call: Call) -> Tensor:
    loss = right(call)
    return loss.detach() if call.reduction == "sum" else loss


class _GradientKept(torch.autograd.Function):
    """The gradient is made in the forward and only scaled in the backward: its own derivative is lost in silence."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        loss = right(call._replace(logits=logits))
        ctx.save_for_backward(gradient_of(call._replace(logits=logits), torch.ones_like(loss)))
        return loss

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        return gradient * (grad_output if grad_output.dim() == 0 else grad_output.unsqueeze(1)), None


@mutant(
    "a second derivative is silently 0: the gradient made in the forward is a constant",
    caught_by="grad_output",
    dtypes=("float32",),
)
def double_backward_silently_zero(call: Call) -> Tensor:
    return (
        _GradientKept.apply(call.logits, call) if call.logits.requires_grad and torch.is_grad_enabled() else right(call)
    )


@mutant("without grad mode a shortcut drops label smoothing", caught_by="options")
def no_grad_drops_smoothing(call: Call) -> Tensor:
    return right(call if call.logits.requires_grad else call._replace(label_smoothing=0.0))


@mutant("without grad mode the losses are computed in bfloat16", caught_by="grad_output")
def no_grad_in_half(call: Call) -> Tensor:
    if torch.is_grad_enabled():
        return right(call)
    return right(widened(call)._replace(logits=call.logits.bfloat16(), weight=None)).to(call.logits.dtype)


@mutant(
    "changing the logits after the forward changes the gradient in silence: they are kept unguarded",
    caught_by="side_effects",
)
def logits_kept_unguarded(call: Call) -> Tensor:
    return _Unguarded.apply(call.logits, call)


class _Unguarded(torch.autograd.Function):
    """Keeps the logits on the context, out of reach of autograd's version check."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        ctx.call = call._replace(logits=logits.detach())
        return right(call._replace(logits=logits))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return gradient_of(ctx.call, grad_output), None
