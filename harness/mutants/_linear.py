"""Right pieces that the mutants of linear cross-entropy bend."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.mutants.declare import LinearCall

#: Rows of one chunk: more than the plain inputs have, so that chunks matter only where there are several.
CHUNK = 64


def linear(call: LinearCall) -> Tensor:
    """The right loss: torch's two calls."""
    return F.cross_entropy(
        F.linear(call.hidden, call.linear_weight, call.linear_bias), call.target, weight=call.weight,
        ignore_index=call.ignore_index, reduction=call.reduction, label_smoothing=call.label_smoothing,
    )  # fmt: skip


def widened(call: LinearCall) -> LinearCall:
    """The call in float32, or float64 where the hidden states are."""
    kind = torch.float64 if call.hidden.dtype == torch.float64 else torch.float32
    target = call.target.to(kind) if call.target.is_floating_point() else call.target
    return call._replace(
        hidden=call.hidden.to(kind), linear_weight=call.linear_weight.to(kind), target=target,
        linear_bias=None if call.linear_bias is None else call.linear_bias.to(kind),
        weight=None if call.weight is None else call.weight.to(kind),
    )  # fmt: skip


def denominator(call: LinearCall) -> Tensor:
    """What the mean divides by: rows, or the weights of their targets, that are not ignored."""
    if call.target.is_floating_point():
        return call.hidden.new_tensor(float(call.target.shape[0]))
    kept = call.target != call.ignore_index
    if call.weight is None:
        return kept.sum()
    return (call.weight[torch.where(kept, call.target, 0)] * kept).sum()


def chunks(call: LinearCall, rows: int = CHUNK) -> Iterator[LinearCall]:
    """The call in chunks of ``rows`` rows."""
    for first in range(0, call.hidden.shape[0], rows):
        piece = slice(first, first + rows)
        yield call._replace(hidden=call.hidden[piece], target=call.target[piece])


def in_chunks(call: LinearCall, parts: Callable[[LinearCall], Iterator[LinearCall]] = chunks) -> Tensor:
    """The loss of ``parts`` of the call, in float32 at least: joined for none, else added up and divided once."""
    wide = widened(call)
    if call.reduction == "none":
        return torch.cat([linear(part) for part in parts(wide)]).to(call.hidden.dtype)
    total = sum((linear(part._replace(reduction="sum")) for part in parts(wide)), wide.hidden.new_zeros(()))
    return (total / denominator(wide) if call.reduction == "mean" else total).to(call.hidden.dtype)


class Passed(torch.autograd.Function):
    """Hands a tensor on as it is, and its gradient through ``change``."""

    @staticmethod
    def forward(ctx, tensor, change):
        """The tensor itself."""
        ctx.change = change
        return tensor.view_as(tensor)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        """The changed gradient."""
        return ctx.change(gradient), None


def passed(tensor: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """``tensor``, whose gradient goes through ``change``."""
    return Passed.apply(tensor, change)
