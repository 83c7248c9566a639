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

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import prod, sqrt
from typing import Any

import numpy as np
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.cross_entropy.grades import FLUSH, independent, plain_float
from harness.numerics.blocks import Block, blocks, class_rows, full_index, to_numpy
from harness.numerics.evaluation import GRADES, Evaluation
from harness.numerics.formats import FORMATS, Array, Format, oracle_dtype, round_to, ulp
from harness.numerics.tally import Comparison, Tally

#: Budgets by grade; a grade that is missing has that of the next wider one.
Budgets = Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What budgets rest on: the output format, the roundoff ``u`` of accumulation, and what final rounding costs."""

    out: Format
    u: float
    rounding_ulps: float

    @property
    def halves(self) -> float:
        """Roundoff of one value stored in the output dtype, where that is a half; else 0."""
        return self.out.u if self.out.is_half else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """A block of entries in the oracle's dtype: ``x`` (rows, C) of the first tensor, ``target`` likewise or None.

    ``weight`` and ``others`` are (C,) or None, by name: they broadcast against the rows.
    """

    case: Case
    rules: Rules
    x: Array
    target: Array | None
    weight: Array | None
    others: Mapping[str, Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointwise:
    """What entries are worth: ``value`` and its budgets, and for each gradient the derivative and its budgets.

    ``overflows`` tells the entries on whose way a number exceeds the largest of the output format; ``undefined`` the
    entries, by gradient, where there is no derivative, and anything may stand.
    """

    value: Array
    budgets: Budgets
    gradients: Mapping[str, tuple[Array, Budgets]]
    overflows: Array | bool = False
    undefined: Mapping[str, Array] = field(default_factory=dict[str, Array])


Formula = Callable[[Entries], Pointwise]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The correctly rounded answer in the case's dtype, on the CPU."""

    loss: torch.Tensor
    gradients: Mapping[str, torch.Tensor]


@dataclass(slots=True, kw_only=True)
class _Sum:
    """A reduction under way."""

    value: Any
    size: float = 0.0
    budgets: dict[str, float] = field(default_factory=lambda: dict.fromkeys(GRADES, 0.0))
    overflows: bool = False


def rules_of(case: Case, rounding_ulps: float) -> Rules:
    """The rules of ``case``."""
    out = FORMATS[case.dtype]
    return Rules(out=out, u=out.accumulation.u, rounding_ulps=rounding_ulps)


def judge(
    case: Case, inputs: Inputs, result: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], formula: Formula, *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Compare ``result`` and ``gradients`` (by name, shaped as their tensors) with the truth of ``formula``."""
    rules, real = rules_of(case, rounding_ulps), oracle_dtype(case.dtype)
    tallies: dict[str, Tally] = {}
    total = _Sum(value=real(0))
    with np.errstate(all="ignore"):
        for block, entries in walk(case, inputs, rules):
            found = formula(entries)
            if result is not None and case.reduction == "none":
                _add_result(tallies, rules, block, result, found, tuple(inputs.logits.shape))
            elif result is not None:
                _accumulate(total, found, rules)
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


def walk(case: Case, inputs: Inputs, rules: Rules) -> Iterator[tuple[Block, Entries]]:
    """The entries of a case, block by block of rows."""
    real = oracle_dtype(case.dtype)
    weight = None if inputs.weight is None else to_numpy(inputs.weight, real).reshape(-1)
    others = {name: to_numpy(tensor, real).reshape(-1) for name, tensor in inputs.others.items()}
    for block in blocks(tuple(inputs.logits.shape)):
        target = None if inputs.target is None else class_rows(inputs.target, block, real)
        x = class_rows(inputs.logits, block, real)
        yield block, Entries(case=case, rules=rules, x=x, target=target, weight=weight, others=others)


def denominator(case: Case) -> int:
    """What a sum over the entries is divided by."""
    return {"mean": prod((case.batch, case.classes, *case.dims)), "batchmean": case.batch}.get(case.reduction, 1)


def upstream(case: Case, inputs: Inputs, block: Block, real: Any) -> Array:
    """G of each entry of ``block``: (rows, C), or () for a reduced loss."""
    if case.reduction == "none":
        return class_rows(inputs.grad_output, block, real)
    return to_numpy(inputs.grad_output, real).reshape(()) / real(denominator(case))


def size_of(values: Array) -> Array:
    """|values| as float64."""
    return np.abs(plain_float(values))


def by_grade(*, standard: Array, tight: Array | None = None, relative: Array | None = None) -> Budgets:
    """Budgets of which each contains the stricter ones."""
    made: dict[str, Array] = {}
    known: Array | None = None
    for grade, budget in (("relative", relative), ("tight", tight), ("standard", standard)):
        if budget is not None:
            known = budget if known is None else np.maximum(known, budget)
            made[grade] = known
    return made


def finished(budget: Array, size: Array, rules: Rules, scale: Array | float = 1.0) -> Array:
    """``budget`` of entries of absolute value ``size`` with flush to zero and the final rounding."""
    whole = budget + FLUSH * np.maximum(1.0, scale)
    return whole + ulp(size + whole, rules.out, ulps=rules.rounding_ulps)


def _subnormal(grade: str, rules: Rules) -> float:
    """What two intermediates of a half kernel cost where they are subnormal, half a spacing each."""
    return float(ulp(np.zeros(()), rules.out)) if grade == "standard" and rules.halves else 0.0


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
        grade: partial(finished, budget + _subnormal(grade, rules), size, rules)
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
    subnormal = _subnormal("standard", rules) * np.maximum(1.0, above)
    made = {}
    for grade, budget in budgets.items():
        error = factor * budget + 3.0 * rules.u * size
        if grade == "standard" and rules.halves:
            error = error + ulp(np.broadcast_to(factor, own.shape), rules.out, ulps=0.5) * own + subnormal
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


def _accumulate(total: _Sum, found: Pointwise, rules: Rules) -> None:
    size = size_of(found.value)
    total.value = total.value + found.value.sum()
    total.size += float(size.sum())
    for grade in GRADES:
        budget = next(found.budgets[one] for one in GRADES[GRADES.index(grade) :] if one in found.budgets)
        stored = 0.0
        if grade == "standard" and rules.halves:
            stored = (ulp(size + budget, rules.out, ulps=0.5) + _subnormal(grade, rules)).sum()
        total.budgets[grade] += float(budget.sum()) + float(stored)
    stored_inf = rules.halves > 0 and bool((size > rules.out.largest).any())
    total.overflows |= bool(np.any(found.overflows)) or stored_inf


def _add_reduced(tallies: dict[str, Tally], rules: Rules, case: Case, result: torch.Tensor, total: _Sum) -> None:
    count = prod((case.batch, case.classes, *case.dims))
    depth = depth_of(count, case.regime)
    below = np.float64(denominator(case))
    truth = np.asarray(total.value / below).reshape(1)
    size = size_of(truth)
    made = {}
    for grade, budget in total.budgets.items():
        error = np.asarray((budget + (depth + 2.0) * rules.u * total.size) / below).reshape(1)
        if grade == "standard" and case.reduction == "batchmean":
            error = error + rules.halves * size  # the sum is stored before it is divided
        made[grade] = partial(finished, error, size, rules)
    compared = Comparison(truth=truth, found=to_numpy(result, truth.dtype.type).reshape(1), locate=lambda at: ())
    sums_in = rules.out if case.reduction == "batchmean" else rules.out.accumulation
    overflows = total.overflows or total.size > sums_in.largest
    _tally(tallies, "loss", rules).add(compared, made, overflow=overflows)


def depth_of(count: int, regime: str) -> float:
    """h of a sum of ``count`` terms."""
    return min(count + 1.0, 8.0 * sqrt(count + 1.0)) if independent(regime) else count + 1.0


def _rounded(values: Array, dtype: str) -> torch.Tensor:
    return torch.from_numpy(np.asarray(round_to(values, FORMATS[dtype]))).to(getattr(torch, dtype))


def _shaped(rows: Array, shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    batch, classes, *dims = shape
    return _rounded(rows, dtype).reshape(batch, *dims, classes).movedim(-1, 1)
