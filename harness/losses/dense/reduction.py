"""Sums and means of entries under way: their value, and what each grade allows them to be off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod, sqrt
from typing import Any

import numpy as np

from harness.core.case import Case
from harness.losses.cross_entropy.grades import independent
from harness.losses.dense.entries import Pointwise, Rules, denominator, size_of, subnormal
from harness.numerics.evaluation import GRADES
from harness.numerics.formats import Array, ulp


@dataclass(slots=True, kw_only=True)
class Sum:
    """A reduction under way."""

    value: Any
    size: float = 0.0
    budgets: dict[str, float] = field(default_factory=lambda: dict.fromkeys(GRADES, 0.0))
    overflows: bool = False


def accumulate(total: Sum, found: Pointwise, rules: Rules) -> None:
    """Add a block of entries to ``total``."""
    size = size_of(found.value)
    total.value = total.value + found.value.sum()
    total.size += float(size.sum())
    for grade in GRADES:
        budget = next(found.budgets[one] for one in GRADES[GRADES.index(grade) :] if one in found.budgets)
        stored = 0.0
        if grade == "standard" and rules.halves:
            stored = (ulp(size + budget, rules.out, ulps=0.5) + subnormal(grade, rules)).sum()
        total.budgets[grade] += float(budget.sum()) + float(stored)
    stored_inf = rules.halves > 0 and bool((size > rules.out.largest).any())
    total.overflows |= bool(np.any(found.overflows)) or stored_inf


def reduced_value(case: Case, total: Sum) -> Array:
    """(1,): the sum, divided as the case's reduction says."""
    return np.asarray(total.value / np.float64(denominator(case))).reshape(1)


def reduced_budgets(case: Case, total: Sum, rules: Rules) -> Mapping[str, Array]:
    """What each grade allows of :func:`reduced_value` before its final rounding, float64 (1,)."""
    depth = depth_of(prod((case.batch, case.classes, *case.dims)), case.regime)
    below, size = float(denominator(case)), size_of(reduced_value(case, total))
    made: dict[str, Array] = {}
    for grade, budget in total.budgets.items():
        made[grade] = np.asarray((budget + (depth + 2.0) * rules.u * total.size) / below).reshape(1)
        if grade == "standard" and case.reduction == "batchmean":
            made[grade] = made[grade] + rules.halves * size  # the sum is stored before it is divided
    return made


def depth_of(count: int, regime: str) -> float:
    """h of a sum of ``count`` terms."""
    return min(count + 1.0, 8.0 * sqrt(count + 1.0)) if independent(regime) else count + 1.0
