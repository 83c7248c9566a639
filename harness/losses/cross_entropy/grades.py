"""The kinds of arithmetic that each accuracy grade allows, and the error of a row's sum of exponentials under each.

A grade allows one or more *classes* of implementation and its budget is the entrywise maximum over them, and over the
stricter grade's budget. A class says in which order the loss is formed, how deep the sum over the classes C may be, and
whether the row's sum, its log and the log-probabilities may be stored once in the output dtype on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil, sqrt
from types import MappingProxyType

import numpy as np

from harness.core.case import Case
from harness.losses.cross_entropy.oracle import Softmax
from harness.numerics.formats import FORMATS, Array, Format, ulp

#: Relative error of exp and of log in units of the accumulation roundoff: exhaustive scans of float32 give 1.1 to 4.0.
EXP_ERROR = LOG_ERROR = 4.0
#: Further error of exp per unit of its argument: exp2(x log2 e) without extended reduction.
EXP_ARGUMENT_ERROR = 1.0
#: Parallel partial sums that ``tight`` takes for granted. 16 would make the grade depend on the CPU's vector width.
LANES = MappingProxyType({"float64": 4, "float32": 8, "float16": 8, "bfloat16": 8})
#: Added to every gradient entry, times max(1, |G|): exp2 of float32 may flush to zero.
FLUSH = FORMATS["float32"].smallest_normal


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One class of implementation.

    ``order`` shifted is (a - x_t) + L; lse is (a + L) - x_t, whose error grows with |a|. ``depth`` h is the largest
    number of additions that a term of the sum over C passes through, ``mass_depth`` h_Q that of a sum of target mass.
    ``stored`` (the output format, or None) is the format in which the row's sum, its log and the log-probabilities are
    rounded once each.
    """

    order: str
    depth: float
    mass_depth: float
    stored: Format | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the budgets of one case rest on.

    ``u`` is the roundoff of accumulation, ``batch_depth`` h_N, ``rounding_ulps`` what the final rounding may cost.
    """

    out: Format
    u: float
    tight: Kind
    standard: tuple[Kind, ...]
    batch_depth: float
    rounding_ulps: float
    reduction: str

    @property
    def rounds(self) -> bool:
        """Whether the output dtype is narrower than that of accumulation."""
        return self.out.is_half


def rules_for(case: Case, rows: int, rounding_ulps: float) -> Rules:
    """The rules of ``case``; ``rows`` is the number of losses before reduction."""
    out = FORMATS[case.dtype]
    deep, shallow = _depths(case, independent(case.regime))
    # smoothing spreads equal shares, whose roundings all go one way, however the logits were drawn: 4,099 of them one
    # after another (torch.compile's backward on the CPU) are off by 1,654 u, where 8 √4100 is 512
    deep_mass, shallow_mass = _depths(case, case.label_smoothing == 0.0 and independent(case.regime))
    standard = [Kind(order=order, depth=deep, mass_depth=deep_mass) for order in ("shifted", "lse")]
    if out.is_half:
        standard.append(Kind(order="shifted", depth=deep, mass_depth=deep_mass, stored=out))
    return Rules(
        out=out, u=out.accumulation.u, tight=Kind(order="shifted", depth=shallow, mass_depth=shallow_mass),
        standard=tuple(standard), batch_depth=rows + 1.0, rounding_ulps=rounding_ulps, reduction=case.reduction,
    )  # fmt: skip


def _depths(case: Case, by_chance: bool) -> tuple[float, float]:
    """Depth of a sum over the classes under standard and under tight; ``by_chance``: of independent terms."""
    lanes = LANES[case.dtype]
    deep, shallow = case.classes + 1.0, ceil(case.classes / lanes) + lanes + 1.0
    if by_chance:
        # roundings of independent terms grow as the square root (8 standard deviations); never where the order or the
        # sizes of the terms conspire: one dominant term breaks it 22 times over
        ceiling = 8.0 * sqrt(deep)
        deep, shallow = min(deep, ceiling), min(shallow, ceiling)
    return max(deep, shallow), shallow


@cache
def independent(regime: str) -> bool:
    """Whether the regime draws its logits independently per entry."""
    from harness.inputs.catalogue import find_regime

    return find_regime(regime).independent


@dataclass(frozen=True, slots=True, kw_only=True)
class SumError:
    """Errors of k rows' sums under one kind, float64 (k,): ``relative`` th of the sum, ``log`` E_L of its log."""

    relative: Array
    log: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class RowErrors:
    """What the budgets of k rows share, float64 (k,): ``log_sum`` L, each kind's errors of the sum, and ``lse``.

    ``lse`` is the sum of the absolute values of the log-sum-exps that are rounded on the way where parts of a row are
    joined two by two: |a + L| once, and at most |a + L| + D + L for each of the ⌈log2 C⌉ levels below.
    """

    log_sum: Array
    lse: Array
    of: Mapping[Kind, SumError]

    def take(self, rows: Array) -> RowErrors:
        """The rows where ``rows`` is True."""
        of = {kind: SumError(relative=e.relative[rows], log=e.log[rows]) for kind, e in self.of.items()}
        return RowErrors(log_sum=self.log_sum[rows], lse=self.lse[rows], of=of)


def row_errors(rows: Softmax, rules: Rules) -> RowErrors:
    """th = u [(1 + k_e) D + c_e (1 - pmax) + h] (+ u_stored), and E_L = -log(1 - th) + c_l u L (+ half an ulp of L)."""
    spread, log_sum = plain_float(rows.spread), plain_float(rows.log_sum)
    fixed = (1.0 + EXP_ARGUMENT_ERROR) * spread + EXP_ERROR * (1.0 - plain_float(1.0 / rows.s))
    known: dict[tuple[float, Format | None], SumError] = {}
    kinds = (rules.tight, *rules.standard)
    for kind in kinds:
        key = (kind.depth, kind.stored)
        if key not in known:
            known[key] = _sum_error(fixed, log_sum, kind, rules.u)
    lse, levels = np.abs(plain_float(rows.top + rows.log_sum)), (rows.x.shape[1] - 1).bit_length()
    with np.errstate(over="ignore"):
        joined = np.minimum(lse + levels * (lse + spread + log_sum), np.finfo(np.float64).max)
    return RowErrors(
        log_sum=log_sum, lse=joined,
        of={kind: known[kind.depth, kind.stored] for kind in kinds},
    )  # fmt: skip


def _sum_error(fixed: Array, log_sum: Array, kind: Kind, u: float) -> SumError:
    th = u * (fixed + kind.depth)
    if kind.stored is not None:
        th += kind.stored.u
    with np.errstate(divide="ignore", invalid="ignore"):
        th /= 1.0 - th
        # from 1 on (a sum deeper than 1 / 2u) nothing is promised
        log = -np.log1p(-th) + LOG_ERROR * u * log_sum
        hopeless = ~(th < 1.0) | (u * (fixed + kind.depth) >= 0.5)
    if hopeless.any():
        th, log = np.where(hopeless, np.inf, th), np.where(hopeless, np.inf, log)
    if kind.stored is not None:
        log += ulp(log_sum, kind.stored, ulps=0.5)
    return SumError(relative=th, log=log)


def plain_float(values: Array) -> Array:
    """``values`` as float64, where a long double beyond its range becomes the largest finite value."""
    if values.dtype == np.float64:
        return values
    largest = np.finfo(np.float64).max
    return np.clip(values, -largest, largest).astype(np.float64)
