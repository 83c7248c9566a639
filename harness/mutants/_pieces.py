"""Right pieces that mutants bend: the loss in float32, its rows, its denominators, and a backward with two seams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.mutants._composed import composed
from harness.mutants.declare import Call

Change = Callable[[Tensor], Tensor]


def unchanged(tensor: Tensor) -> Tensor:
    """The tensor itself."""
    return tensor


def widened(call: Call) -> Call:
    """The call in float32, or float64 where the logits are float64."""
    kind = torch.float64 if call.logits.dtype == torch.float64 else torch.float32
    target = call.target.to(kind) if call.target.is_floating_point() else call.target
    return call._replace(
        logits=call.logits.to(kind), target=target, weight=None if call.weight is None else call.weight.to(kind)
    )


def right(call: Call) -> Tensor:
    """The right loss: torch's own, in float32 at least, rounded once to the logits' dtype.

    Free of torch's own defects, lest a mutant be caught for them: ignored rows are blanked, so that their NaN does not
    reach the gradient, and a probability of 0 counts for nothing on a logit of -inf.
    """
    wide = widened(call)
    if call.target.is_floating_point():
        return composed(lambda rows: torch.log_softmax(rows, 1), call)
    loss = F.cross_entropy(
        torch.where((call.target == call.ignore_index).unsqueeze(1), 0, wide.logits), wide.target, weight=wide.weight,
        ignore_index=call.ignore_index, reduction=call.reduction, label_smoothing=call.label_smoothing,
    )  # fmt: skip
    return loss.to(call.logits.dtype)


def wide_losses(call: Call) -> Tensor:
    """The losses of the rows (N, d1, …), in float32 at least."""
    return right(widened(call)._replace(reduction="none"))


def kept(call: Call) -> Tensor:
    """Which rows are not ignored, bool (N, d1, …)."""
    return call.target != call.ignore_index


def target_weights(call: Call) -> Tensor:
    """The weight of each row's target, 0 in ignored rows, in float32 at least."""
    wide = widened(call)
    keep = kept(call)
    labels = torch.where(keep, call.target, torch.zeros_like(call.target))
    if wide.weight is None:
        return keep.to(wide.logits.dtype)
    return wide.weight[labels] * keep


def reduced(call: Call, losses: Tensor, denominator: Tensor | float | None = None) -> Tensor:
    """``losses`` under the call's reduction; the mean's denominator is the right one unless given."""
    if call.reduction == "none":
        return losses.to(call.logits.dtype)
    total = losses.sum()
    if call.reduction == "mean":
        total = total / (target_weights(call).sum() if denominator is None else denominator)
    return total.to(call.logits.dtype)


def flat(call: Call) -> Call:
    """The call with rows (M, C) and labels (M,), the classes last."""
    classes = call.logits.shape[1]
    logits = call.logits.movedim(1, -1).reshape(-1, classes)
    if call.target.is_floating_point():
        return call._replace(logits=logits, target=call.target.movedim(1, -1).reshape(-1, classes))
    return call._replace(logits=logits, target=call.target.reshape(-1))


def shaped(call: Call, losses: Tensor) -> Tensor:
    """Row losses (M,) in the shape of the target of ``call``."""
    return losses.reshape(call.logits.shape[0], *call.logits.shape[2:])


def from_lse(call: Call, lse: Callable[[Tensor], Tensor]) -> Tensor:
    """The loss with its own log-sum-exp of rows (M, C) → (M,); index targets, all options but smoothing."""
    rows = flat(widened(call))
    labels = torch.where(rows.target == call.ignore_index, torch.zeros_like(rows.target), rows.target)
    picked = rows.logits.gather(1, labels[:, None])[:, 0]
    losses = lse(rows.logits) - picked
    if call.weight is not None:
        losses = losses * flat(widened(call)).weight[labels]
    losses = torch.where(rows.target == call.ignore_index, torch.zeros_like(losses), losses)
    if call.label_smoothing:
        return right(call)
    return reduced(call, shaped(call, losses))


def with_rows(call: Call, change: Change) -> Tensor:
    """The right loss of changed logits; ``change`` gets them with the classes last."""
    return right(call._replace(logits=change(call.logits.movedim(1, -1)).movedim(-1, 1)))


def twisted(call: Call, *, upstream: Change = unchanged, finish: Change = unchanged) -> Tensor:
    """The right loss with a backward of its own: the upstream gradient and the finished gradient can be bent.

    First order only: a second backward raises. Its gradient is torch's own, computed again in the backward.
    """
    return _Twisted.apply(call.logits, call, upstream, finish)


class _Twisted(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call, upstream: Change, finish: Change) -> Tensor:
        # saved, not kept, so that autograd notices when one is changed before the backward
        ctx.save_for_backward(logits, call.target, call.weight)
        ctx.call, ctx.upstream, ctx.finish = call._replace(logits=None, target=None, weight=None), upstream, finish
        return right(call._replace(logits=logits))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        logits, target, weight = ctx.saved_tensors
        call = ctx.call._replace(logits=logits, target=target, weight=weight)
        return ctx.finish(gradient_of(call, ctx.upstream(grad_output))), None, None, None


def gradient_of(call: Call, grad_output: Tensor) -> Tensor:
    """The right gradient of the logits under ``grad_output``."""
    logits = call.logits.detach().requires_grad_()
    with torch.enable_grad():
        loss = right(call._replace(logits=logits))
    (gradient,) = torch.autograd.grad(loss, logits, grad_output.to(loss.dtype))
    return gradient


class OfLogits(torch.autograd.Function):
    """The right loss of logits and a call; a subclass has the backward, which finds both on ``ctx``."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        """The loss; the logits are saved, the call kept."""
        ctx.save_for_backward(logits)
        ctx.call = call
        return right(call._replace(logits=logits))


def narrow_sum(rows: Tensor, dtype: torch.dtype, *, step: int) -> Tensor:
    """Sums of rows (M, C) → (M,) added up in ``dtype``, ``step`` classes at a time."""
    total = rows.new_zeros(rows.shape[0]).to(dtype)
    for part in rows.split(step, 1):
        total = total + part.sum(1).to(dtype)
    return total.to(rows.dtype)


def tiles(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Rows (M, C) cut along the classes into tiles of ``size``, the last one ragged."""
    return rows.split(size, dim=1)


def contiguous_misread(tensor: Tensor) -> Tensor:
    """What is found at the addresses that the tensor would have if it were contiguous; inside its storage always."""
    strides, step = [], 1
    for size in reversed(tensor.shape):
        strides.append(step)
        step *= size
    return torch.as_strided(tensor, tensor.shape, strides[::-1], tensor.storage_offset())
