"""Controls of unusual shape: narrow option sets, masks for indices, layouts and helpers of their own."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.mutants._composed import check_labels, class_rows, composed, index_losses, reduce, shifted, wide
from harness.mutants.declare import Call, control


@control("the target's log-probability is picked by a product with its one-hot row", targets=("index",))
def one_hot_product(call: Call) -> Tensor:
    masses = _one_hot(call)
    logs = torch.log_softmax(class_rows(call.logits), 1)
    losses = -torch.where(masses == 0, 0, masses * logs).sum(1).reshape(call.target.shape)
    if call.label_smoothing or call.weight is not None:
        return composed(lambda rows: torch.log_softmax(rows, 1), call)
    return reduce(losses, call.reduction, masses.sum(), call.logits.dtype)


def _one_hot(call: Call) -> Tensor:
    """One-hot rows (M, C) of the targets, all 0 where ignored."""
    keep = (call.target != call.ignore_index).reshape(-1)
    labels = torch.where(keep, call.target.reshape(-1), 0).long()
    check_labels(labels, call.logits.shape[1])
    return F.one_hot(labels, call.logits.shape[1]) * keep[:, None]


@control("the target is found by comparing every class number with it", targets=("index",))
def mask_of_classes(call: Call) -> Tensor:
    logs = torch.log_softmax(class_rows(call.logits), 1)
    target = call.target.reshape(-1, 1)
    classes = _class_numbers(call.logits.shape[1])
    keep = target[:, 0] != call.ignore_index
    check_labels(torch.where(keep, target[:, 0], 0), call.logits.shape[1])
    if call.label_smoothing or call.weight is not None:
        return composed(lambda rows: torch.log_softmax(rows, 1), call)
    losses = -torch.where((classes == target) & keep[:, None], logs, 0).sum(1)
    return reduce(losses.reshape(call.target.shape), call.reduction, keep.sum(), call.logits.dtype)


@lru_cache(maxsize=2)
def _class_numbers(classes: int) -> Tensor:
    """0 … C-1; a small cache such as kernels keep, which depends on no values."""
    return torch.arange(classes)


@control("only the reduction can be chosen", as_written=True, targets=("index",))
def reduction_only(logits: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """A right loss of a narrow signature; ignore_index has its default nowhere in sight."""
    return F.cross_entropy(wide(logits), target, reduction=reduction, ignore_index=-(10**9)).to(logits.dtype)


@control("the mean of float32 rows is all there is", as_written=True, targets=("index",), dtypes=("float32",))
def mean_only(logits: Tensor, target: Tensor) -> Tensor:
    """A right loss without any option."""
    return F.nll_loss(shifted(logits).log_softmax(1), target)


@control("takes two dimensions only, and says so", targets=("index",))
def two_dimensions_only(call: Call) -> Tensor:
    if call.logits.dim() != 2:
        raise NotImplementedError(f"logits have {call.logits.dim()} dimensions, 2 are supported")
    return composed(lambda rows: rows - torch.logsumexp(shifted(rows), 1, keepdim=True) - _top(rows), call)


def _top(rows: Tensor) -> Tensor:
    return rows.detach().amax(1, keepdim=True)


@control("knows probability targets only", targets=("probability",))
def probabilities_only(call: Call) -> Tensor:
    return composed(lambda rows: torch.log_softmax(rows, 1), call)


@control("written for half precision only", dtypes=("bfloat16", "float16"))
def half_precision_only(call: Call) -> Tensor:
    return composed(lambda rows: shifted(rows).log_softmax(1), call)


@control("works on its own copy of the logits, in place")
def own_copy_in_place(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        own = rows.clone()
        own -= own.detach().amax(1, keepdim=True)
        return own - own.exp().sum(1, keepdim=True).log_()

    return composed(log_probabilities, call)


@control("moves the classes last and makes them contiguous first")
def channels_last(call: Call) -> Tensor:
    last = call.logits.movedim(1, -1).contiguous()
    return composed(lambda rows: rows.contiguous().log_softmax(-1), call._replace(logits=last.movedim(-1, 1)))


@control("one row at a time under vmap")
def rows_under_vmap(call: Call) -> Tensor:
    def row(values: Tensor) -> Tensor:
        moved = values - values.detach().amax()
        return moved - moved.exp().sum().log()

    return composed(lambda rows: torch.vmap(row)(rows) if len(rows) else rows, call)


class _NumpyLogSoftmax(torch.autograd.Function):
    """log-softmax of rows by numpy, forward and backward."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        values = rows.detach().numpy()
        with np.errstate(all="ignore"):
            moved = values - values.max(1, keepdims=True, initial=-np.inf)
            logs = moved - np.log(np.exp(moved).sum(1, keepdims=True))
        ctx.logs = logs
        return torch.from_numpy(logs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        upstream = grad_output.numpy()
        with np.errstate(all="ignore"):
            return torch.from_numpy(upstream - np.exp(ctx.logs) * upstream.sum(1, keepdims=True))


@control("numpy inside, forward and backward; a second derivative raises")
def numpy_inside(call: Call) -> Tensor:
    return composed(_NumpyLogSoftmax.apply, call)


@control("an nn.Module class, its options given to the constructor", as_written=True)
class ModuleLoss(torch.nn.Module):
    """Right, and constructed once for each set of options."""

    def __init__(
        self,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.options = (weight, ignore_index, reduction, label_smoothing)

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """The loss of ``logits`` (N, C, d1, …) and index or probability targets."""
        return composed(lambda rows: rows.log_softmax(1), Call(logits, target, *self.options))


@control("an einsum picks and weighs the log-probabilities", targets=("index",))
def einsum_picks(call: Call) -> Tensor:
    if call.label_smoothing:
        return composed(lambda rows: rows.log_softmax(1), call)
    logs = torch.log_softmax(class_rows(call.logits), 1)
    weights = torch.ones(call.logits.shape[1], dtype=logs.dtype) if call.weight is None else wide(call.weight)
    one_hot = _one_hot(call)
    # a row of weight 0 keeps its NaN, as torch's does: only classes that are not the target are blanked
    masses = one_hot * weights
    losses = -torch.einsum("ij,ij->i", masses, torch.where(one_hot == 0, 0, logs))
    return reduce(losses.reshape(call.target.shape), call.reduction, masses.sum(), call.logits.dtype)


@control(
    "the mean of nothing is 0, as torch had it before 1.11, and declares so",
    targets=("index",),
    expect={"agreement|stability|gradient|options|ignored|relations|semantics*": "the mean of no rows is 0, not NaN"},
)
def mean_of_nothing_is_zero(call: Call) -> Tensor:
    logs = class_rows(call.logits).log_softmax(1)
    weights = torch.ones(logs.shape[1], dtype=logs.dtype) if call.weight is None else wide(call.weight)
    losses, row_weights = index_losses(logs, call.target.reshape(-1), weights, call.ignore_index, call.label_smoothing)
    denominator = row_weights.sum()
    empty = call.target.numel() > 0 and not bool((call.target != call.ignore_index).any())
    return reduce(losses.reshape(call.target.shape), call.reduction, denominator + empty, call.logits.dtype)


@control("rows of weight 0 are never read, whatever they hold", targets=("index",))
def weightless_rows_never_read(call: Call) -> Tensor:
    if call.weight is None or call.label_smoothing:
        return composed(lambda rows: rows.log_softmax(1), call)
    target = call.target.reshape(-1)
    keep = target != call.ignore_index
    labels = torch.where(keep, target, 0).long()
    check_labels(labels, call.logits.shape[1])
    weights = wide(call.weight)[labels] * keep
    rows = torch.where((weights != 0)[:, None], class_rows(call.logits), 0)
    losses = -rows.log_softmax(1).gather(1, labels[:, None])[:, 0] * weights
    return reduce(losses.reshape(call.target.shape), call.reduction, weights.sum(), call.logits.dtype)


@control("logits that are not contiguous are refused, with an error")
def contiguous_only(call: Call) -> Tensor:
    if not call.logits.is_contiguous():
        raise ValueError(f"logits have strides {call.logits.stride()}; they must be contiguous")
    return composed(lambda rows: rows.log_softmax(1), call)


@control("all of the target's mass is one matrix, contracted with the log-probabilities", targets=("index",))
def contracted_mass(call: Call) -> Tensor:
    logs, classes = class_rows(call.logits).log_softmax(1), call.logits.shape[1]
    target = call.target.reshape(-1)
    keep = (target != call.ignore_index).nonzero()[:, 0]
    check_labels(target[keep].long(), classes)
    weights = torch.ones(classes, dtype=logs.dtype) if call.weight is None else wide(call.weight)
    one_hot = F.one_hot(target[keep].long(), classes).to(logs.dtype)
    masses = ((1 - call.label_smoothing) * one_hot + call.label_smoothing / classes) * weights
    # no mass on an impossible class is no loss
    losses = -torch.einsum("nc,nc->n", masses, torch.where(masses == 0, 0, logs[keep]))
    every = torch.zeros(target.shape, dtype=logs.dtype).index_copy(0, keep, losses)
    return reduce(
        every.reshape(call.target.shape), call.reduction, weights[target[keep].long()].sum(), call.logits.dtype
    )
