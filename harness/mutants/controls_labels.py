"""Right but unusual implementations of losses of labels: negative log-likelihood and both binary cross-entropies."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.mutants._entries import nll_reduced, reduced, scaled, wide
from harness.mutants.declare import control

#: torch clamps the logarithms of probabilities here, and the denominator of the derivative there.
LOG_FLOOR, DENOMINATOR_FLOOR = -100.0, 1e-12


@control("a sum over all classes, each masked by whether it is the target", loss="nll_loss")
def nll_by_masked_sum(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    place = torch.arange(input.shape[1], device=input.device).view(1, -1, *(1 for _ in input.shape[2:]))
    losses = -torch.where(place == target.unsqueeze(1), wide(input), 0.0).sum(1)
    return nll_reduced(losses, target, weight=weight, ignore_index=ignore_index, reduction=reduction, dtype=input.dtype)


@control("picked out of one flat tensor by an index of its own making", loss="nll_loss")
def nll_by_flat_index(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    rows = wide(input).movedim(1, -1)
    labels = torch.where(target == ignore_index, 0, target).reshape(-1)
    places = torch.arange(len(labels), device=labels.device) * input.shape[1] + labels
    losses = -rows.reshape(-1).index_select(0, places).reshape(target.shape)
    return nll_reduced(losses, target, weight=weight, ignore_index=ignore_index, reduction=reduction, dtype=input.dtype)


@control("row by row in float64, the mean divided at the end", loss="nll_loss")
def nll_by_rows(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    rows = input.double().movedim(1, -1).reshape(-1, input.shape[1])
    labels = torch.where(target == ignore_index, 0, target).reshape(-1)
    losses = [-row[label] for row, label in zip(rows, labels, strict=True)]
    stacked = torch.stack(losses).reshape(target.shape)
    return nll_reduced(
        stacked, target, weight=weight, ignore_index=ignore_index, reduction=reduction, dtype=input.dtype
    )


@control(
    "two positive terms, of softplus with a threshold that no format notices", loss="binary_cross_entropy_with_logits",
)  # fmt: skip
def bce_logits_by_softplus(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    x, t = wide(input), wide(target)
    # torch's own threshold of 20 leaves out 2e-9, which float64 notices
    up, down = F.softplus(x, threshold=50.0), F.softplus(-x, threshold=50.0)
    losses = (1.0 - t) * up + scaled(t * down, pos_weight)
    return reduced(scaled(losses, weight), reduction, input.dtype)


@control(
    "the larger of x and 0, less t x, and log1p(exp(-|x|)), as TensorFlow documents it",
    loss="binary_cross_entropy_with_logits",
)  # fmt: skip
def bce_logits_by_the_positive_part(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    x, t = wide(input), wide(target)
    # chosen by one condition, so that the derivative at 0 is that of one side
    positive = x >= 0
    log = torch.log1p(torch.exp(torch.where(positive, -x, x)))
    if pos_weight is None:
        losses = torch.where(positive, x, 0.0) - t * x + log
    else:
        share = 1.0 + (pos_weight.to(x.dtype) - 1.0) * t
        losses = (1.0 - t) * x + share * (log + torch.where(positive, 0.0, -x))
    return reduced(scaled(losses, weight), reduction, input.dtype)


@control("log-sigmoid of either sign in float64, rounded once", loss="binary_cross_entropy_with_logits")
def bce_logits_in_float64(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    x, t = input.double(), target.double()
    losses = (t - 1.0) * F.logsigmoid(-x) - scaled(t * F.logsigmoid(x), pos_weight)
    return reduced(scaled(losses, weight), reduction, input.dtype)


class _Logs(torch.autograd.Function):
    """-t max(log p, -100) - (1 - t) max(log1p(-p), -100), with torch's derivative, finite at p = 0 and 1."""

    @staticmethod
    def forward(ctx: Any, p: Tensor, t: Tensor) -> Tensor:
        ctx.save_for_backward(p, t)
        return -t * p.log().clamp(min=LOG_FLOOR) - (1.0 - t) * torch.log1p(-p).clamp(min=LOG_FLOOR)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        p, t = ctx.saved_tensors
        (above,) = grads
        by_p = above * (p - t) / (p * (1.0 - p)).clamp(min=DENOMINATOR_FLOOR)
        return by_p, above * (torch.log1p(-p) - p.log())


@control("by log1p, with a backward of its own", loss="binary_cross_entropy")
def bce_by_log1p(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"):
    return reduced(scaled(_Logs.apply(wide(input), wide(target)), weight), reduction, input.dtype)


@control("torch's own on float64, row by row, rounded once", loss="binary_cross_entropy")
def bce_by_rows(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"):
    pairs = zip(input.double(), target.double(), strict=True)
    losses = torch.stack([F.binary_cross_entropy(p, t, reduction="none") for p, t in pairs])
    return reduced(scaled(losses, weight), reduction, input.dtype)
