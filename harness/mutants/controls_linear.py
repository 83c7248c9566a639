"""Right but unusual ways to fuse the last layer with its loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.mutants._linear import chunks, in_chunks, linear, widened
from harness.mutants.declare import LinearCall, control


@control("chunks of 7 rows, each in float32", loss="linear_cross_entropy")
def linear_in_chunks(call: LinearCall):
    return in_chunks(call, lambda part: chunks(part, 7))


@control("everything in float32, rounded once", loss="linear_cross_entropy")
def linear_in_float32(call: LinearCall):
    return linear(widened(call)).to(call.hidden.dtype)


@control(
    "classes in shards of 5, their log-sum-exps joined two by two", loss="linear_cross_entropy", targets=("index",)
)
def linear_in_shards(call: LinearCall):
    if call.label_smoothing:
        return linear_in_float32_of(call)
    wide = widened(call)
    lse: Tensor | None = None
    for first in range(0, wide.linear_weight.shape[0], 5):
        part = slice(first, first + 5)
        bias = None if wide.linear_bias is None else wide.linear_bias[part]
        found = F.linear(wide.hidden, wide.linear_weight[part], bias).logsumexp(1)
        lse = found if lse is None else torch.logaddexp(lse, found)
    assert lse is not None
    return _picked(call, wide, lse)


@control("the target's logit by a dot product of its own", loss="linear_cross_entropy", targets=("index",))
def linear_with_indexed_dot(call: LinearCall):
    if call.label_smoothing:
        return linear_in_float32_of(call)
    wide = widened(call)
    return _picked(call, wide, F.linear(wide.hidden, wide.linear_weight, wide.linear_bias).logsumexp(1))


def linear_in_float32_of(call: LinearCall) -> Tensor:
    """The right loss in float32, for options that a control does not treat in its own way."""
    return linear(widened(call)).to(call.hidden.dtype)


def _picked(call: LinearCall, wide: LinearCall, lse: Tensor) -> Tensor:
    """lse minus the target's logit, h · w_t + b_t, reduced."""
    kept = wide.target != wide.ignore_index
    labels = torch.where(kept, wide.target, 0)
    own = (wide.hidden * wide.linear_weight[labels]).sum(1)
    own = own if wide.linear_bias is None else own + wide.linear_bias[labels]
    weights = kept.to(lse.dtype) if wide.weight is None else wide.weight[labels] * kept
    losses = torch.where(kept, (lse - own) * weights, 0.0)
    if call.reduction == "none":
        return losses.to(call.hidden.dtype)
    total = losses.sum()
    return (total / weights.sum() if call.reduction == "mean" else total).to(call.hidden.dtype)
