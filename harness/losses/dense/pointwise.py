"""Judges a loss made of single entries: each entry's value and derivative with their budgets, then the reduction.

A family says of a block of entries what they are worth and what error each grade allows *before* the result is rounded
into the output dtype (:class:`Pointwise`). Here that is reduced, scaled by the upstream gradient, and compared:

    none   budget + final rounding
    sum    Σ budget + h u Σ |value|, and one rounding more of a mean; h the depth of the sum (below)
    grad   |G| budget' + 3 u |G d|, G = grad_output ÷ denominator; for the halves under ``standard`` ½ ulp(G) |d| more,
           as kernels in the half dtype store g / N; and the final rounding

Where the output is a half dtype and the loss is reduced, ``standard`` allows each entry one rounding to it, as torch
stores the unreduced loss. h is n + 1 for n entries, and at most 8 √(n + 1) where the regime draws entries independently
(Higham and Mary, SIAM J. Sci. Comput. 41(5), 2019, with λ = 8): then roundings do not conspire.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.entries import (
    Formula,
    Pointwise,
    Rules,
    Truth,
    denominator,
    finished,
    rules_of,
    size_of,
    subnormal,
    upstream,
    walk,
)  # fmt: skip
from harness.losses.dense.reduction import Sum, accumulate, reduced_budgets, reduced_value
from harness.numerics.blocks import Block, class_rows, full_index, to_numpy
from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import FORMATS, Array, oracle_dtype, round_to, ulp
from harness.numerics.tally import Comparison, Tally


def judge(
    case: Case, inputs: Inputs, result: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], formula: Formula, *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Compare ``result`` and ``gradients`` (by name, shaped as their tensors) with the truth of ``formula``."""
    rules, real = rules_of(case, rounding_ulps), oracle_dtype(case.dtype)
    tallies: dict[str, Tally] = {}
    total = Sum(value=real(0))
    with np.errstate(all="ignore"):
        for block, entries in walk(case, inputs, rules):
            found = formula(entries)
            if result is not None and case.reduction == "none":
                _add_result(tallies, rules, block, result, found, tuple(inputs.logits.shape))
            elif result is not None:
                accumulate(total, found, rules)
            scale = upstream(case, inputs, block, real)
            for name, gradient in gradients.items():
                _add_gradient(tallies, rules, block, (name, gradient), found, scale, float(denominator(case)))
        if result is not None and case.reduction != "none":
            _add_reduced(tallies, rules, case, result, total)
    return Evaluation(regions=tuple(report for tally in tallies.values() if (report := tally.report()) is not None))


def true_answer(case: Case, inputs: Inputs, formula: Formula, names: tuple[str, ...] = ("logits",)) -> Truth:
    """The truth of a whole case, each value rounded once to its dtype; gradients of the tensors called ``names``."""
    rules, real = rules_of(case, 0.5), oracle_dtype(case.dtype)
    shape = tuple(inputs.logits.shape)
    losses: list[Array] = []
    parts: dict[str, list[Array]] = {name: [] for name in names}
    with np.errstate(all="ignore"):
        for block, entries in walk(case, inputs, rules):
            found = formula(entries)
            losses.append(found.value)
            for name in names:
                parts[name].append(found.gradients[name][0] * upstream(case, inputs, block, real))
        whole = np.concatenate(losses) if losses else np.zeros((0, case.classes), dtype=real)
        loss = whole if case.reduction == "none" else whole.sum(dtype=real) / real(denominator(case))
    made = {name: _shaped(np.concatenate(p) if p else whole, shape, case.dtype) for name, p in parts.items()}
    if case.reduction == "none":
        return Truth(loss=_shaped(loss, shape, case.dtype), gradients=made)
    return Truth(loss=_rounded(np.asarray(loss), case.dtype), gradients=made)


def _locate(shape: tuple[int, ...], block: Block, at: int) -> tuple[int, ...]:
    row, column = divmod(at, shape[1])
    return full_index(shape, block.start + row, column)


def _tally(tallies: dict[str, Tally], value: str, rules: Rules) -> Tally:
    region = "loss" if value == "loss" else "element"
    return tallies.setdefault(value, Tally(value, region, rules.out))


def _add_result(
    tallies: dict[str, Tally], rules: Rules, block: Block, result: torch.Tensor, found: Pointwise,
    shape: tuple[int, ...],
) -> None:  # fmt: skip
    truth = Comparison(
        truth=found.value,
        found=class_rows(result, block, found.value.dtype.type),
        locate=partial(_locate, shape, block),
    )
    size = size_of(found.value)
    made = {
        grade: partial(finished, budget + subnormal(grade, rules), size, rules)
        for grade, budget in found.budgets.items()
    }
    _tally(tallies, "loss", rules).add(truth, made, overflow=found.overflows)


def _add_gradient(
    tallies: dict[str, Tally], rules: Rules, block: Block, named: tuple[str, torch.Tensor], found: Pointwise,
    scale: Array, below: float,
) -> None:  # fmt: skip
    name, gradient = named
    derivative, budgets = found.gradients[name]
    truth, factor = derivative * scale, size_of(scale)
    size, own = size_of(truth), size_of(derivative)
    above = factor * below
    spacing = subnormal("standard", rules) * np.maximum(1.0, above)
    made = {}
    for grade, budget in budgets.items():
        error = factor * budget + 3.0 * rules.u * size
        if grade == "standard" and rules.halves:
            error = error + ulp(np.broadcast_to(factor, own.shape), rules.out, ulps=0.5) * own + spacing
        made[grade] = partial(finished, error, size, rules, factor)
    compared = Comparison(
        truth=truth, found=class_rows(gradient, block, truth.dtype.type),
        locate=partial(_locate, tuple(gradient.shape), block),
    )  # fmt: skip
    # an upstream gradient of 0 times an infinite derivative: no convention says what that is
    none = (np.isinf(derivative) | found.overflows) & (scale == 0.0)
    undefined = (none | found.undefined.get(name, False)).nonzero()
    # g · d may exceed the largest number although g · d ÷ denominator does not
    overflow = found.overflows | (above * own > rules.out.largest)
    _tally(tallies, f"grad_{name}", rules).add(
        compared, made, skip=undefined if len(undefined[0]) else None, overflow=overflow
    )


def _add_reduced(tallies: dict[str, Tally], rules: Rules, case: Case, result: torch.Tensor, total: Sum) -> None:
    truth = reduced_value(case, total)
    size = size_of(truth)
    budgets = reduced_budgets(case, total, rules)
    made = {grade: partial(finished, budget, size, rules) for grade, budget in budgets.items()}
    compared = Comparison(truth=truth, found=to_numpy(result, truth.dtype.type).reshape(1), locate=lambda at: ())
    sums_in = rules.out if case.reduction == "batchmean" else rules.out.accumulation
    overflows = total.overflows or total.size > sums_in.largest
    _tally(tallies, "loss", rules).add(compared, made, overflow=overflows)


def allowed_losses(case: Case, inputs: Inputs, formula: Formula, *, rounding_ulps: float = 0.5) -> Array:
    """What ``standard`` allows of each loss that the case returns, flat float64, for finite inputs."""
    rules, total = rules_of(case, rounding_ulps), Sum(value=oracle_dtype(case.dtype)(0))
    parts: list[Array] = []
    with np.errstate(all="ignore"):
        for _, entries in walk(case, inputs, rules):
            found = formula(entries)
            if case.reduction == "none":
                budget = found.budgets["standard"] + subnormal("standard", rules)
                parts.append(finished(budget, size_of(found.value), rules))
            else:
                accumulate(total, found, rules)
        if case.reduction != "none":
            budget = reduced_budgets(case, total, rules)["standard"]
            return finished(budget, size_of(reduced_value(case, total)), rules)
    batch, classes, *dims = inputs.logits.shape
    return np.moveaxis(np.concatenate(parts).reshape(batch, *dims, classes), -1, 1).reshape(-1)


def _rounded(values: Array, dtype: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(round_to(values, FORMATS[dtype]))).to(getattr(torch, dtype))


def _shaped(rows: Array, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    batch, classes, *dims = shape
    return _rounded(rows, dtype).reshape(batch, *dims, classes).movedim(-1, 1)
