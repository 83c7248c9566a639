"""What losses of single entries are described with: entries, their values and budgets, and what rounding may cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.cross_entropy.grades import FLUSH, plain_float
from harness.numerics.blocks import Block, blocks, class_rows, to_numpy
from harness.numerics.formats import FORMATS, Array, Format, oracle_dtype, ulp

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


def rules_of(case: Case, rounding_ulps: float) -> Rules:
    """The rules of ``case``."""
    out = FORMATS[case.dtype]
    return Rules(out=out, u=out.accumulation.u, rounding_ulps=rounding_ulps)


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


def subnormal(grade: str, rules: Rules) -> float:
    """What two intermediates of a half kernel cost where they are subnormal, half a spacing each."""
    return float(ulp(np.zeros(()), rules.out)) if grade == "standard" and rules.halves else 0.0
