"""Mutants that are right when called alone, and wrong beside what calls or follows them: a compiler, another step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.mutants._linear import linear
from harness.mutants._pieces import OfLogits, gradient_of, kept, reduced, right, wide_losses
from harness.mutants.declare import Call, LinearCall, mutant

_LAST: dict[str, Any] = {}
_ROWS: dict[int, Tensor] = {}


class _FromReturned(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, target, reduction="none")
        ctx.losses = losses
        ctx.save_for_backward(logits, target)
        return losses

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        logits, target = ctx.saved_tensors
        p = logits.softmax(1).scatter(1, target.unsqueeze(1), torch.expm1(-ctx.losses).unsqueeze(1))
        return p * grad_output.unsqueeze(1), None


@mutant(
    "the target's gradient is formed from the very tensor that was returned, which the caller may write into",
    caught_by="side_effects", dtypes=("float32",),
)  # fmt: skip
def gradient_from_returned_losses(call: Call) -> Tensor:
    plain = call.logits.dim() == 2 and call.reduction == "none" and call.logits.dtype == torch.float32
    if not plain or call.weight is not None or call.label_smoothing or bool((~kept(call)).any()):
        return right(call)
    if int(call.target.min()) < 0 or int(call.target.max()) >= call.logits.shape[1]:
        return right(call)
    return _FromReturned.apply(call.logits, call.target)


@mutant("while torch.compile traces, the mean divides by all rows, ignored ones too", caught_by="composition")
def ignored_counted_when_compiled(call: Call) -> Tensor:
    if torch.compiler.is_compiling() and call.reduction == "mean" and call.weight is None:
        losses = F.cross_entropy(call.logits, call.target, ignore_index=call.ignore_index, reduction="none")
        return losses.sum() / call.target.numel()
    return right(call)


class _Tangents(torch.autograd.Function):
    @staticmethod
    def forward(logits: Tensor, target: Tensor, ignore_index: int, reduction: str) -> Tensor:
        return F.cross_entropy(logits, target, ignore_index=ignore_index, reduction=reduction)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        logits, ctx.target, ctx.ignore_index, ctx.reduction = inputs
        ctx.save_for_backward(logits)
        ctx.save_for_forward(logits)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (logits,) = ctx.saved_tensors
        call = Call(logits, ctx.target, ignore_index=ctx.ignore_index, reduction=ctx.reduction)
        return gradient_of(call, grad_output), None, None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        (logits,) = ctx.saved_tensors
        rows = (logits.softmax(1) * tangent).sum(1) - tangent.gather(1, ctx.target.clamp(min=0).unsqueeze(1)).squeeze(1)
        counted = (ctx.target != ctx.ignore_index).sum()
        return rows if ctx.reduction == "none" else rows.sum() / (counted if ctx.reduction == "mean" else 1)


@mutant("the rule of forward-mode differentiation forgets that rows are ignored", caught_by="composition")
def tangents_of_ignored_rows(call: Call) -> Tensor:
    wide = call.logits.dtype in (torch.float32, torch.float64)
    if call.weight is not None or call.label_smoothing or call.logits.dim() != 2 or not wide:
        return right(call)
    return _Tangents.apply(call.logits, call.target, call.ignore_index, call.reduction)


@mutant("targets are looked at with gradients off, and they stay off where one is no class", caught_by="targets")
def gradients_off_after_a_bad_target(call: Call) -> Tensor:
    before = torch.is_grad_enabled()
    torch.set_grad_enabled(False)
    labels = call.target[kept(call)]
    if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < call.logits.shape[1]:
        raise IndexError(f"Target {int(labels.max())} is out of bounds.")
    torch.set_grad_enabled(before)
    return right(call)


@mutant(
    "without gradients the last result is kept for the same tensors at the same version, which numpy does not raise",
    caught_by="honesty",
)  # fmt: skip
def result_kept_by_version(call: Call) -> Tensor:
    if torch.is_grad_enabled():
        return right(call)
    tensors = (call.logits, call.target, call.weight)
    said = (*(t if t is None else t._version for t in tensors), *call[3:])
    kept_tensors = _LAST.get("tensors", ())
    same = len(kept_tensors) == 3 and all(a is b for a, b in zip(kept_tensors, tensors, strict=True))
    if not same or _LAST["said"] != said:
        _LAST.update(tensors=tensors, said=said, result=right(call))
    return _LAST["result"].clone()


class _CutAbove(OfLogits):
    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (logits,) = ctx.saved_tensors
        if not torch.is_grad_enabled():
            return gradient_of(ctx.call, grad_output), None
        loss = right(ctx.call._replace(logits=logits))
        return torch.autograd.grad(loss, logits, grad_output.detach(), create_graph=True)[0], None


@mutant(
    "a second derivative takes the upstream gradient for a constant: learned weights of samples get none",
    caught_by="grad_output",
)  # fmt: skip
def upstream_cut_in_second_order(call: Call) -> Tensor:
    if call.target.is_floating_point() or not call.logits.requires_grad or not torch.is_grad_enabled():
        return right(call)
    return _CutAbove.apply(call.logits, call)


@mutant(
    "a table of row numbers is kept for each size; made under inference mode, it takes part in no graph later",
    caught_by="grad_output",
)  # fmt: skip
def rows_numbered_in_inference_mode(call: Call) -> Tensor:
    plain = call.logits.dim() == 2 and call.weight is None and not call.label_smoothing
    if not plain or call.logits.shape[0] == 0 or bool((~kept(call)).any()):
        return right(call)
    rows = call.logits.shape[0]
    if rows not in _ROWS:
        _ROWS[rows] = torch.ones(rows)
    # a factor is saved for the backward pass
    losses = wide_losses(call)
    return reduced(call, losses * _ROWS[rows].to(losses))


class _Accumulating(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, owner: Tensor) -> Tensor:
        ctx.owner = owner
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        if ctx.owner.grad is None:
            return grad_output, None
        ctx.owner.grad.add_(grad_output)
        return torch.zeros_like(grad_output), None


@mutant(
    "where the weight has a gradient already, the backward adds to it and returns none of its own",
    loss="linear_cross_entropy", caught_by="grad_output",
)  # fmt: skip
def weight_gradient_accumulated_inside(call: LinearCall):
    if not (call.linear_weight.requires_grad and call.linear_weight.is_leaf and torch.is_grad_enabled()):
        return linear(call)
    return linear(call._replace(linear_weight=_Accumulating.apply(call.linear_weight, call.linear_weight)))


class _ConstantProbabilities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor, dim: int) -> Tensor:
        ctx.p, ctx.dim = F.softmax(input, dim), dim
        return ctx.p.clone()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return ctx.p * (grad_output - (grad_output * ctx.p).sum(ctx.dim, keepdim=True)), None


@mutant(
    "the probabilities are constants in the backward: its derivative by the input is 0", loss="softmax",
    caught_by="grad_output",
)  # fmt: skip
def softmax_second_derivative_zero(input: Tensor, *, dim: int = 1):
    return _ConstantProbabilities.apply(input, dim)


@mutant(
    "the target's entry is picked by a product with a one-hot matrix: 0 · -inf is NaN", loss="nll_loss",
    caught_by="stability",
)  # fmt: skip
def nll_by_one_hot_product(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    if input.dim() != 2 or weight is not None or not bool(input.isinf().any()):
        return F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    counted = target != ignore_index
    one_hot = F.one_hot(torch.where(counted, target, 0).long(), input.shape[1]).to(input.dtype)
    losses = torch.where(counted, -(input * one_hot).sum(1), 0)
    total = losses if reduction == "none" else losses.sum()
    return total / counted.sum() if reduction == "mean" else total


class _BySample(torch.autograd.Function):
    generate_vmap_rule = False

    @staticmethod
    def forward(losses: Tensor) -> Tensor:
        return losses.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        return grad_output

    @staticmethod
    def vmap(info: Any, in_dims: Any, losses: Tensor) -> Any:
        # a mean over the batch that vmap hides
        return _BySample.apply(losses) / info.batch_size, in_dims[0]


@mutant("under vmap each sample's gradient is divided by the size of the batch", caught_by="composition")
def sample_gradients_averaged(call: Call) -> Tensor:
    return _BySample.apply(right(call))
