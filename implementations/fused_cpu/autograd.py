"""The autograd functions around the pieces: what is saved, when the gradient is made, and double backward."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from . import hard, soft
from .pieces import as_rows, per_row
from .targets import Options, index_targets


def arithmetic(dtype: torch.dtype) -> torch.dtype:
    """The dtype that a call computes in: float64 for float64, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def _reduced(losses: torch.Tensor, options: Options, divisor: torch.Tensor | float, dtype: torch.dtype) -> torch.Tensor:
    if options.reduction == "none":
        return losses.to(dtype)
    # in float64: losses near the largest float32 would overflow in the sum of a finite mean
    total = losses.sum(dtype=torch.float64)
    if options.reduction == "mean":
        total = total / divisor
    return total.to(dtype)


def _by_torch(
    inputs: tuple[torch.Tensor, torch.Tensor, torch.Tensor | None],
    grad_output: torch.Tensor,
    options: Options,
    wanted: tuple[bool, ...],
) -> tuple[torch.Tensor | None, ...]:
    """The gradients through torch's own differentiable operators, for ``create_graph=True``."""
    logits, target, weight = inputs
    dtype = arithmetic(logits.dtype)
    loss = F.cross_entropy(
        logits.to(dtype), target.to(dtype) if target.is_floating_point() else target,
        None if weight is None else weight.to(dtype), ignore_index=options.ignore_index,
        reduction=options.reduction, label_smoothing=options.label_smoothing,
    )  # fmt: skip
    asked = [tensor for tensor, needed in zip(inputs, wanted, strict=False) if needed and tensor is not None]
    found = iter(torch.autograd.grad(loss, asked, grad_output.to(dtype).reshape(loss.shape), create_graph=True))
    return tuple(next(found) if needed else None for needed in wanted[:3])


class HardCrossEntropy(torch.autograd.Function):
    """``apply(logits, target, weight, options)`` for index targets; only the logits have a gradient."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
    ) -> torch.Tensor:
        """The reduced loss, or losses shaped like the target; with a scalar loss the gradient is made on the way."""
        problem = _hard(logits, target, weight, options)
        divisor = problem.targets.divisor() if options.reduction == "mean" else 1.0
        early = ctx.needs_input_grad[0] and options.reduction != "none"
        scale = hard.exact_scale(1.0, float(divisor), problem.dtype) if early else None
        losses, gradient = hard.run(problem, losses=True, scale=scale)
        assert losses is not None
        ctx.options, ctx.divisor, ctx.gradient = options, divisor, gradient
        # the logits are saved beside the gradient: a second backward needs them, and autograd then notices their change
        ctx.save_for_backward(logits, target, weight)
        return _reduced(losses.reshape(target.shape), options, divisor, logits.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradient of the logits: the one made on the way forward where it serves, else made now."""
        logits, target, weight = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_by_torch((logits, target, weight), grad_output, ctx.options, (True, False, False)), None)
        # given away, not kept: autograd copies a gradient that somebody else still holds
        gradient, ctx.gradient = ctx.gradient, None
        if gradient is not None:
            upstream = grad_output.item()
            if upstream == 1.0:
                return gradient, None, None, None
            if gradient.dtype == torch.float32:
                return gradient.mul_(upstream), None, None, None
            # half precision would be rounded a second time, and float64 has none to spare
            del gradient
        problem = _hard(logits, target, weight, ctx.options)
        dtype = problem.dtype
        if ctx.options.reduction == "none":
            scale: hard.Scale = per_row(grad_output.to(dtype), problem.rows).contiguous()
        else:
            scale = hard.exact_scale(grad_output.item(), float(ctx.divisor), dtype)
        return hard.run(problem, losses=False, scale=scale)[1], None, None, None


def _hard(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
) -> hard.HardProblem:
    rows, dtype = as_rows(logits), arithmetic(logits.dtype)
    targets = index_targets(per_row(target, rows), weight, rows.shape[1], options.ignore_index, dtype)
    return hard.HardProblem(logits=logits, rows=rows, targets=targets, weight=weight, options=options, dtype=dtype)


class SoftCrossEntropy(torch.autograd.Function):
    """``apply(logits, target, weight, options)`` for probability targets; all three can have gradients."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
    ) -> torch.Tensor:
        """The reduced loss, or losses shaped like the target without its classes."""
        problem = _soft(logits, target, weight, options)
        ctx.options = options
        ctx.save_for_backward(logits, target, weight)
        losses = soft.losses(problem).reshape(logits.shape[:1] + logits.shape[2:])
        return _reduced(losses, options, float(losses.numel()), logits.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients that are needed."""
        logits, target, weight = ctx.saved_tensors
        wanted = tuple(ctx.needs_input_grad[:3])
        if torch.is_grad_enabled():
            return (*_by_torch((logits, target, weight), grad_output, ctx.options, wanted), None)
        problem = _soft(logits, target, weight, ctx.options)
        shape = problem.rows.shape[:1] + problem.rows.shape[2:]
        upstream = grad_output.to(problem.dtype)
        if ctx.options.reduction == "mean":
            upstream = upstream / max(1, problem.rows.numel() // problem.rows.shape[1])
        if upstream.dim():
            upstream = per_row(upstream, problem.rows)
        return (*soft.gradients(problem, upstream.expand(shape), wanted), None)


def _soft(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
) -> soft.SoftProblem:
    return soft.SoftProblem(
        logits=logits, target=target, rows=as_rows(logits), target_rows=as_rows(target), weight=weight,
        options=options, dtype=arithmetic(logits.dtype),
    )  # fmt: skip
