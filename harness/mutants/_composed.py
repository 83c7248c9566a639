"""What controls share: torch's cross-entropy made of log-probabilities, with all options, twice differentiable."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from harness.mutants.declare import Call

#: Rows (M, C) → log of their softmax (M, C).
LogProbabilities = Callable[[Tensor], Tensor]
#: Shifted rows (M, C), the largest 0 → log Σ_c exp (M,).
LogSum = Callable[[Tensor], Tensor]


def wide(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 where it is float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def shifted(rows: Tensor) -> Tensor:
    """Rows less their maximum, which is a constant to the gradient."""
    return rows - rows.detach().amax(1, keepdim=True) if rows.shape[1] else rows


def class_rows(logits: Tensor) -> Tensor:
    """(N, C, d1, …) as wide rows (M, C)."""
    return wide(logits).movedim(1, -1).reshape(-1, logits.shape[1])


def composed(log_probabilities: LogProbabilities, call: Call) -> Tensor:
    """The loss from a row-wise log-softmax: ``-Σ_c w_c · q_c · log p_c`` with q the smoothed target.

    Raises:
        IndexError: a target is neither a class nor ``ignore_index``.
        ValueError: ``target`` has not the shape that goes with ``logits``.
    """
    logits, target = call.logits, call.target
    logs = log_probabilities(class_rows(logits))
    weights = torch.ones(logits.shape[1], dtype=logs.dtype) if call.weight is None else wide(call.weight)
    shape = (logits.shape[0], *logits.shape[2:])
    if target.is_floating_point():
        if target.shape != logits.shape:
            raise ValueError(f"probabilities are shaped {tuple(target.shape)}, logits {tuple(logits.shape)}")
        masses = (1 - call.label_smoothing) * class_rows(target) + call.label_smoothing / logits.shape[1]
        return reduce(total(masses * weights, logs).reshape(shape), call.reduction, None, logits.dtype)
    if target.shape != shape:
        raise ValueError(f"targets are shaped {tuple(target.shape)}, logits {tuple(logits.shape)}")
    losses, row_weights = index_losses(logs, target.reshape(-1), weights, call.ignore_index, call.label_smoothing)
    return reduce(losses.reshape(shape), call.reduction, row_weights.sum(), logits.dtype)


def from_log_sum(log_sum: LogSum, call: Call) -> Tensor:
    """The loss whose log Σ_c exp of shifted rows is ``log_sum``."""

    def log_probabilities(rows: Tensor) -> Tensor:
        moved = shifted(rows)
        return moved - log_sum(moved)[:, None]

    return composed(log_probabilities, call)


def index_losses(
    logs: Tensor, target: Tensor, weights: Tensor, ignore_index: int, label_smoothing: float
) -> tuple[Tensor, Tensor]:
    """Losses and weights of rows (M,) with index targets; both are 0 where a row is ignored."""
    keep = target != ignore_index
    labels = torch.where(keep, target, 0).long()
    check_labels(labels, logs.shape[1])
    row_weights = torch.where(keep, weights[labels], 0)
    losses = -weights[labels] * logs.gather(1, labels[:, None])[:, 0]
    if label_smoothing:
        losses = (1 - label_smoothing) * losses + label_smoothing / logs.shape[1] * total(weights.expand_as(logs), logs)
    return torch.where(keep, losses, 0), row_weights


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise an IndexError that names a target which is no class."""
    wrong = labels[(labels < 0) | (labels >= classes)]
    if wrong.numel():
        raise IndexError(f"Target {int(wrong[0])} is out of bounds.")


def total(masses: Tensor, logs: Tensor) -> Tensor:
    """``-Σ_c m_c · log p_c`` of rows, in which a mass of 0 counts for nothing whatever its log is."""
    return -torch.where(masses == 0, 0, masses * logs).sum(1)


def reduce(losses: Tensor, reduction: str, denominator: Tensor | None, dtype: torch.dtype) -> Tensor:
    """``losses`` reduced and rounded once to ``dtype``; the mean's denominator is the number of rows if None.

    Raises:
        ValueError: ``reduction`` is none of the three.
    """
    if reduction == "none":
        return losses.to(dtype)
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if reduction == "mean":
        return (losses.sum() / (losses.numel() if denominator is None else denominator)).to(dtype)
    return losses.sum().to(dtype)


def refuse_other_gradients(target: Tensor, weight: Tensor | None) -> None:
    """Raise where a gradient is asked for that an implementation of the logits' gradient alone cannot give."""
    if target.requires_grad or (weight is not None and weight.requires_grad):
        raise NotImplementedError("only the logits have a gradient here")
