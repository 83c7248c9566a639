"""What a cross-entropy case asks, row by row: target mass, rows that count, and the scale of each row's gradient.

Every variant of F.cross_entropy is one form. Row r has target mass q_i on class i, Q = Σ q_i, and

    loss_r = Σ q_i (lse - x_i)            grad_logits_i = G_r (Q p_i - q_i)

- class indices:  q_i = w_t (1 - ε) [i = t] + w_i ε / C; ``mean`` divides by Σ w_t over the rows that are not ignored;
- probabilities:  q_i = w_i ((1 - ε) y_i + ε / C); ``mean`` divides by the number of rows.

A mass of exactly 0 contributes 0 even on a class whose logit is -inf (0 · log 0 = 0), whether it is 0 because its
probability or because its weight is. (torch answers NaN there: it multiplies 0 by inf.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from harness.core.case import Case
from harness.numerics.blocks import Block, class_rows, flat_rows, to_numpy
from harness.numerics.formats import Array

Real = type[np.floating[Any]]


class CrossEntropyInputs(Protocol):
    """The tensors of one case: logits (N, C, d1, …), target, weight (C,) or None, grad_output shaped as the loss."""

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    grad_output: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One case's targets and options in the oracle's dtype; rows are the flattened (N, d1, …).

    ``index`` (rows,) is None with probability targets. ``kept`` (rows,) tells the rows that are not ignored.
    ``scale`` (rows,) is G, the upstream gradient divided by ``denominator`` (1 unless the reduction is mean).
    """

    shape: tuple[int, ...]
    real: Real
    reduction: str
    index: Array | None
    kept: Array
    weight: Array | None
    smoothing: float
    denominator: Any
    scale: Array
    target: torch.Tensor

    @property
    def classes(self) -> int:
        """C."""
        return self.shape[1]

    @property
    def plain(self) -> bool:
        """Whether every counted row's mass is exactly 1, all of it on one class."""
        return self.index is not None and self.weight is None and self.smoothing == 0.0

    @property
    def sums_weights(self) -> bool:
        """Whether the mean divides by a sum of class weights."""
        return self.reduction == "mean" and self.weight is not None and self.index is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mass:
    """Target mass of k rows: ``point`` (k,) on class ``column`` (k,), plus ``spread``, (1, C) or (k, C), over all.

    ``total`` (k,) is Q. ``point`` and ``column`` are None with probability targets, ``spread`` is None where all the
    mass is the point. ``inner`` (k, C) is (1 - ε) y + ε / C, the factor of the weight, with probability targets.
    """

    point: Array | None
    column: Array | None
    spread: Array | None
    total: Array
    inner: Array | None = None

    @property
    def none(self) -> Array:
        """Which rows have no mass on any class, bool (k,): all their weights or all their probabilities are 0."""
        found = np.ones(len(self.total), dtype=bool)
        if self.point is not None:
            found &= self.point == 0.0
        if self.spread is not None:
            found &= (self.spread == 0.0).all(axis=1)
        return found

    def take(self, rows: Array) -> Mass:
        """The mass of the rows where ``rows`` is True."""
        spread = self.spread
        if spread is not None and spread.shape[0] == len(rows) and self.column is None:
            spread = spread[rows]
        return replace(
            self,
            point=None if self.point is None else self.point[rows],
            column=None if self.column is None else self.column[rows],
            inner=None if self.inner is None else self.inner[rows],
            spread=spread,
            total=self.total[rows],
        )


def pose(case: Case, inputs: CrossEntropyInputs, real: Real) -> Problem:
    """The problem that ``case`` poses on ``inputs``, in the oracle's dtype ``real``.

    Raises:
        ValueError: a class index lies outside [0, C) and is not ignore_index, or a shape does not fit the logits.
    """
    shape = tuple(inputs.logits.shape)
    weight = None if inputs.weight is None else to_numpy(inputs.weight, real)
    rows = int(np.prod((shape[0], *shape[2:]), dtype=np.int64))
    index, kept = None, np.ones(rows, dtype=bool)
    if inputs.target.is_floating_point():
        _expect_shape("probability target", tuple(inputs.target.shape), shape)
    else:
        _expect_shape("class index target", tuple(inputs.target.shape), (shape[0], *shape[2:]))
        index = flat_rows(inputs.target, np.int64)
        kept = index != case.ignore_index
        _expect_in_range(index[kept], shape[1])
    denominator = _denominator(case.reduction, index, kept, weight, real)
    with np.errstate(divide="ignore", invalid="ignore"):
        upstream = flat_rows(inputs.grad_output, real) / denominator
    return Problem(
        shape=shape, real=real, reduction=case.reduction, index=index, kept=kept, weight=weight,
        smoothing=case.label_smoothing, denominator=denominator, target=inputs.target,
        scale=upstream if case.reduction == "none" else np.broadcast_to(upstream, (rows,)),
    )  # fmt: skip


def mass_of(problem: Problem, block: Block, kept: Array) -> Mass:
    """Target mass of the rows of ``block`` at which ``kept`` (rows of the block) is True."""
    if problem.index is None:
        return _probability_mass(problem, block)
    column = problem.index[block.rows][kept]
    ones = np.ones(len(column), dtype=problem.real)
    own = ones if problem.weight is None else problem.weight[column]
    if problem.smoothing == 0.0:
        return Mass(point=own, column=column, spread=None, total=own)
    smoothing = problem.real(problem.smoothing)
    weights = np.ones(problem.classes, dtype=problem.real) if problem.weight is None else problem.weight
    spread = (weights * (smoothing / problem.classes))[None, :]
    point = own * (1 - smoothing)
    # without weights Q is 1, which the rounded parts need not add up to
    total = ones if problem.weight is None else point + spread.sum()
    return Mass(point=point, column=column, spread=spread, total=total)


def times(mass: Array, value: Array) -> Array:
    """mass · value, where a mass of 0 gives 0 whatever the value: 0 · log 0 = 0."""
    product = mass * value
    if not np.isfinite(value).all():
        product = np.where(mass == 0.0, 0.0, product)
    return product


def _probability_mass(problem: Problem, block: Block) -> Mass:
    inner = class_rows(problem.target, block, problem.real)
    if problem.smoothing:
        smoothing = problem.real(problem.smoothing)
        inner = inner * (1 - smoothing) + smoothing / problem.classes
    spread = inner if problem.weight is None else inner * problem.weight
    return Mass(point=None, column=None, spread=spread, total=spread.sum(axis=1), inner=inner)


def _denominator(reduction: str, index: Array | None, kept: Array, weight: Array | None, real: Real) -> Any:
    if reduction != "mean":
        return real(1)
    if index is None or weight is None:
        return real(np.count_nonzero(kept))
    return weight[index[kept]].sum(dtype=real)


def _expect_shape(what: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if found != wanted:
        raise ValueError(f"{what} has shape {found}, these logits need {wanted}")


def _expect_in_range(index: Array, classes: int) -> None:
    if index.size and (index.min() < 0 or index.max() >= classes):
        raise ValueError(f"class indices run from {index.min()} to {index.max()}, allowed are 0 to {classes - 1}")
