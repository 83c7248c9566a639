"""The autograd function around the launches: what is saved, what is made when, and what is refused."""

from __future__ import annotations

from typing import Any

import torch

from . import plan
from .launch import (
    Buffers,
    Call,
    Options,
    Statistics,
    Upstream,
    device_of,
    divisor_of,
    empty_buffers,
    launch,
    total_of,
)
from .mass_gradients import MassGradients


def _loss(call: Call) -> tuple[torch.Tensor, Buffers, torch.Tensor | None]:
    # the loss, what was written, and what a mean divides by
    problem, options = call.problem, call.options
    divisor = divisor_of(call) if options.reduction == "mean" else None
    now = (
        options.differentiable and options.reduction != "none" and not options.inplace
        and plan.gradient_in_forward(problem, call.device, options.strategy)
    )  # fmt: skip
    buffers = empty_buffers(call, gradient=now)
    if call.rows:
        chosen = (
            plan.fused_launch(problem, call.device, options.strategy) if now
            else plan.forward_launch(problem, call.device)
        )  # fmt: skip
        launch(call, chosen, buffers, divisor if now else None, None)
    if options.reduction == "none":
        return buffers.losses, buffers, None
    return total_of(call, buffers.losses, divisor), buffers, divisor


class FusedCrossEntropy(torch.autograd.Function):
    """``apply(logits, target, weight, options)`` for logits (N, C, d1, …); index targets are flattened to (N·d1·…,)."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
    ) -> torch.Tensor:
        """The reduced loss, or the losses of shape (N·d1·…,)."""
        call = Call(logits=logits, target=target, weight=weight, options=options, device=device_of(logits))
        value, buffers, divisor = _loss(call)
        ctx.options = options
        ctx.gradient = buffers.gradient
        kept = buffers.kept
        ctx.save_for_backward(logits, target, weight, kept.maximum, kept.others, kept.mass, divisor)
        return value

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of logits, probability targets and weight, each only if asked for.

        Raises:
            NotImplementedError: ``create_graph=True``: the gradient has no gradient.
        """
        if torch.is_grad_enabled():
            # returning a constant instead would drop the second-order term of a gradient penalty without a word
            raise NotImplementedError("fused_triton has no double backward: call backward() without create_graph=True")
        logits, target, weight, maximum, others, mass, divisor = ctx.saved_tensors
        call = Call(logits=logits, target=target, weight=weight, options=ctx.options, device=device_of(logits))
        kept = Statistics(maximum=maximum, others=others, mass=mass)
        given = grad_output.reshape(-1) if ctx.options.reduction == "none" else grad_output
        upstream = Upstream(value=given, stride=given.stride(0) if given.dim() else 0)
        others_wanted = MassGradients(call=call, kept=kept, upstream=upstream, divisor=divisor)
        asked = ctx.needs_input_grad
        # these read the logits, which an in-place gradient then overwrites
        target_gradient = others_wanted.target() if asked[1] else None
        weight_gradient = others_wanted.weight() if asked[2] else None
        gradient = _logits_gradient(ctx, call, kept, upstream, divisor) if asked[0] else None
        return gradient, target_gradient, weight_gradient, None


def _logits_gradient(
    ctx: Any, call: Call, kept: Statistics, upstream: Upstream, divisor: torch.Tensor | None
) -> torch.Tensor:
    # a gradient of the forward pass is handed out once, for an upstream of 1 as it is; a second backward pass, and any
    # other upstream, makes it anew from the logits: scaling what is rounded would round twice
    made, ctx.gradient = ctx.gradient, None
    gradient = made if made is not None else call.logits if call.options.inplace else torch.empty_like(call.logits)
    if call.rows:
        upstream = Upstream(value=upstream.value, stride=upstream.stride, skip=made is not None)
        buffers = Buffers(losses=kept.maximum, kept=kept, gradient=gradient)
        chosen = plan.backward_launch(call.problem, call.device, skippable=made is not None)
        launch(call, chosen, buffers, divisor, upstream, saved=True)
    if call.options.inplace:
        # whoever else kept these logits for a backward pass is told, and so is a second backward pass through here
        torch.autograd.graph.increment_version(call.logits)
        return gradient.detach()
    return gradient
