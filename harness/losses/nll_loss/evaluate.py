"""Compares an answer to a nll_loss case with the truth: -w_t x_t of each row, reduced, and its gradient.

    row       |loss| u (one product with the weight), and its rounding
    sum       Σ budget + (rows + 1) u Σ |loss|; a mean divides by Σ w_t, whose sum costs as much again
    gradient  -G w_t on the target's class, 3 u relative (and the error of Σ w_t under a mean); 0 exactly on all others
              and in ignored rows; ½ ulp(G) w_t more under ``standard`` in a half dtype, which stores g / N

A log-probability that is no target's is never read: NaN there is no matter of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.entries import Rules, Truth, finished, rules_of, size_of
from harness.numerics.blocks import blocks, class_rows, flat_rows, full_index, row_index, to_numpy
from harness.numerics.evaluation import GRADES, Evaluation
from harness.numerics.formats import FORMATS, Array, oracle_dtype, round_to, ulp
from harness.numerics.tally import Comparison, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class _Problem:
    """Rows of one case: ``index`` (0 in ignored rows), ``kept``, ``losses``, ``weight`` of each, G (rows,)."""

    shape: tuple[int, ...]
    index: Array
    kept: Array
    losses: Array
    weight: Array
    denominator: Any
    scale: Array
    depth: float


def evaluate(
    case: Case, inputs: Inputs, loss: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Judge ``loss`` and the gradient of ``logits`` of one case by region: loss, ignored; target, other, ignored."""
    problem, rules = _pose(case, inputs), rules_of(case, rounding_ulps)
    tallies: dict[tuple[str, str], Tally] = {}

    def tally(value: str, region: str) -> Tally:
        return tallies.setdefault((value, region), Tally(value, region, rules.out))

    with np.errstate(all="ignore"):
        if loss is not None:
            _judge_loss(case, problem, rules, flat_rows(loss, problem.losses.dtype.type), tally)
        if "logits" in gradients:
            _judge_gradient(case, problem, rules, gradients["logits"], tally)
    return Evaluation(regions=tuple(report for one in tallies.values() if (report := one.report()) is not None))


def truth(case: Case, inputs: Inputs) -> Truth:
    """The oracle's answer, each value rounded once to the case's dtype."""
    problem, dtype = _pose(case, inputs), getattr(torch, case.dtype)
    with np.errstate(all="ignore"):
        reduced = problem.losses.sum() / problem.denominator
        slope = np.where(problem.kept, -problem.scale * problem.weight, 0)
    losses = problem.losses if case.reduction == "none" else np.asarray(reduced)
    rounded = torch.from_numpy(np.asarray(round_to(losses, FORMATS[case.dtype]))).to(dtype)
    rows = (problem.shape[0], *problem.shape[2:])
    gradient = torch.zeros(problem.shape, dtype=dtype)
    index = torch.from_numpy(problem.index).reshape(rows).unsqueeze(1)
    gradient.scatter_(
        1, index, torch.from_numpy(round_to(slope, FORMATS[case.dtype])).to(dtype).reshape(rows).unsqueeze(1)
    )
    return Truth(loss=rounded.reshape(rows) if case.reduction == "none" else rounded, gradients={"logits": gradient})


def allowed_losses(case: Case, inputs: Inputs, *, rounding_ulps: float = 0.5) -> Array:
    """What ``standard`` allows of each loss that the case returns, flat float64; of an ignored row 0 exactly."""
    problem, rules = _pose(case, inputs), rules_of(case, rounding_ulps)
    size = size_of(problem.losses)
    if case.reduction == "none":
        return np.where(problem.kept, finished(rules.u * size, size, rules), 0.0)
    total = np.asarray(problem.losses.sum() / problem.denominator).reshape(1)
    return finished(_reduced_budget(problem, rules, "standard"), size_of(total), rules)


def _pose(case: Case, inputs: Inputs) -> _Problem:
    real, shape = oracle_dtype(case.dtype), tuple(inputs.logits.shape)
    target = flat_rows(inputs.target, np.int64)
    kept = target != case.ignore_index
    index = np.where(kept, target, 0)
    if index.size and (index.min() < 0 or index.max() >= shape[1]):
        raise ValueError(f"class indices run from {index.min()} to {index.max()}, allowed are 0 to {shape[1] - 1}")
    picked = inputs.logits.detach().gather(1, torch.from_numpy(index).to(inputs.logits.device).reshape(
        shape[0], 1, *shape[2:]))  # fmt: skip
    weights = np.ones(shape[1], dtype=real) if inputs.weight is None else to_numpy(inputs.weight, real)
    weight = np.where(kept, weights[index], 0) if index.size else np.zeros(0, dtype=real)
    with np.errstate(all="ignore"):
        losses = np.where(kept, -weight * flat_rows(picked, real), 0)
        denominator = weight.sum(dtype=real) if case.reduction == "mean" else real(1)
        scale = flat_rows(inputs.grad_output, real) / denominator
    weighted = case.reduction == "mean" and inputs.weight is not None
    return _Problem(
        shape=shape, index=index, kept=kept, losses=losses, weight=weight, denominator=denominator,
        scale=np.broadcast_to(scale, kept.shape), depth=(len(kept) + 1.0) if weighted else 0.0,
    )  # fmt: skip


def _judge_loss(case: Case, problem: _Problem, rules: Rules, found: Array, tally: Callable[[str, str], Tally]) -> None:
    size = size_of(problem.losses)
    if case.reduction == "none":
        for region, rows in (("loss", problem.kept), ("ignored", ~problem.kept)):
            where = np.flatnonzero(rows)
            made = {"standard": partial(finished, rules.u * size[where], size[where], rules)}
            exact = {"standard": partial(np.zeros, len(where))}
            compared = Comparison(
                truth=problem.losses[where], found=found[where],
                locate=lambda at, where=where: row_index(problem.shape, int(where[at])),
            )  # fmt: skip
            tally("loss", region).add(compared, exact if region == "ignored" else made)
        return
    total = np.asarray(problem.losses.sum() / problem.denominator).reshape(1)
    made = {grade: partial(finished, _reduced_budget(problem, rules, grade), size_of(total), rules) for grade in GRADES}
    compared = Comparison(truth=total, found=found.reshape(1), locate=lambda at: ())
    overflows = rules.halves > 0 and bool((size > rules.out.largest).any())
    tally("loss", "loss").add(compared, made, overflow=overflows)


def _reduced_budget(problem: _Problem, rules: Rules, grade: str) -> Array:
    size = size_of(problem.losses)
    budget = (len(size) + 2.0 + problem.depth) * rules.u * size.sum() + rules.u * size.sum()
    if grade == "standard" and rules.halves:
        budget += ulp(size, rules.out, ulps=0.5).sum()
    return np.asarray(budget / abs(float(problem.denominator))).reshape(1)


def _judge_gradient(
    case: Case, problem: _Problem, rules: Rules, gradient: torch.Tensor, tally: Callable[[str, str], Tally]
) -> None:
    slope = np.where(problem.kept, -problem.scale * problem.weight, 0)
    factor, share = size_of(problem.scale), size_of(problem.weight)
    for block in blocks(problem.shape):
        found = class_rows(gradient, block, slope.dtype.type)
        rows = np.arange(block.start, block.stop)
        kept, column = problem.kept[rows], problem.index[rows]
        at, size = np.arange(len(rows)), size_of(slope[rows])
        own = found[at, column]
        tight = (3.0 + problem.depth) * rules.u * size
        stored = ulp(factor[rows], rules.out, ulps=0.5) * share[rows] + rules.halves * size if rules.halves else 0.0
        budgets = {"tight": tight, "standard": tight + stored}
        made = {
            grade: partial(lambda b, k, s: finished(b[k], s[k], rules), budget, kept, size)
            for grade, budget in budgets.items()
        }
        tally("grad_logits", "target").add(_of(problem, rows[kept], column[kept], slope[rows][kept], own[kept]), made)
        rest = found.copy()
        rest[at, column] = 0.0
        whole = found[~kept]
        for region, values, where in (("other", rest[kept], rows[kept]), ("ignored", whole, rows[~kept])):
            compared = Comparison(
                truth=np.zeros_like(values), found=values, locate=partial(_locate, problem.shape, where)
            )
            tally("grad_logits", region).add(compared, {"standard": partial(np.zeros, values.shape)})


def _of(problem: _Problem, rows: Array, column: Array, truth: Array, found: Array) -> Comparison:
    return Comparison(
        truth=truth, found=found, locate=lambda at: full_index(problem.shape, int(rows[at]), int(column[at]))
    )


def _locate(shape: tuple[int, ...], rows: Array, at: int) -> tuple[int, ...]:
    row, column = divmod(at, shape[1])
    return full_index(shape, int(rows[row]), column)
