"""Gathers, block by block, the worst entry of one region of one value under every grade."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from threading import Lock

import numpy as np

from harness.numerics.evaluation import GRADES, Mismatch, RegionReport, Worst
from harness.numerics.formats import Array, Format, ulp

#: Every budget is multiplied by this, so that an exact half-ulp tie passes whatever the oracle's own last bit.
SLACK = 1.0 + 2.0**-20

Locate = Callable[[int], tuple[int, ...]]
Budgets = Mapping[str, Callable[[], Array]]

_NOTHING = Worst(error=0.0, budget=0.0, ratio=0.0, index=(), expected=float("nan"), found=float("nan"), violations=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Entries of one region: ``truth`` and ``found`` of one shape, and ``locate``, flat position → reported index."""

    truth: Array
    found: Array
    locate: Locate

    def worst(self, at: int, error: float, budget: float, ratio: float, violations: int) -> Worst:
        """The entry at flat position ``at`` as a :class:`Worst`."""
        return Worst(
            error=error, budget=budget, ratio=ratio, index=self.locate(at), expected=float(self.truth.flat[at]),
            found=float(self.found.flat[at]), violations=violations,
        )  # fmt: skip


class Tally:
    """The running worst of one region. ``add`` takes comparisons; ``report`` freezes what was found.

    Budgets map a grade to a function that makes its budget (before :data:`SLACK`) for the entries at hand; a grade
    that is missing has that of the next wider one that is given. Threads may add at once; what is found does not
    depend on their order.
    """

    __slots__ = ("_entries", "_first", "_fmt", "_lock", "_mismatches", "_region", "_value", "_worst")

    def __init__(self, value: str, region: str, fmt: Format) -> None:
        self._value, self._region, self._fmt = value, region, fmt
        self._worst = dict.fromkeys(GRADES, _NOTHING)
        self._entries = 0
        self._mismatches = 0
        self._first: Mismatch | None = None
        self._lock = Lock()

    def add(
        self, compared: Comparison, budgets: Budgets, *,
        skip: tuple[Array, ...] | None = None, overflow: Array | bool = False,
    ) -> None:  # fmt: skip
        """Compare found with truth.

        Entries at ``skip`` (index arrays) are left out. ``overflow`` tells the entries whose intermediates exceed the
        largest value of the output dtype: an inf found there is right; for a half dtype by the widest grade alone, as
        the stricter ones keep intermediates in float32.
        """
        if compared.truth.size == 0:
            return
        with self._lock:
            self._entries += compared.truth.size - (0 if skip is None else len(skip[0]))
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            error = compared.found - compared.truth
            np.abs(error, out=error)
            if skip is not None:
                error[skip] = 0.0
            widest = budgets[GRADES[-1]]()
            if not np.isfinite(error.max()):
                error = self._classify(compared, error, widest, overflow)
            if error.dtype != np.float64:
                error = np.minimum(error, np.finfo(np.float64).max).astype(np.float64)
            worst = _measure(compared, error, widest)
            self._keep(GRADES[-1], worst)
            del widest
            for grade in reversed(GRADES[:-1]):
                worst = _measure(compared, error, budgets[grade]()) if grade in budgets else worst
                self._keep(grade, worst)

    def report(self) -> RegionReport | None:
        """What was found; None when no entry was added."""
        if self._entries == 0:
            return None
        widest = self._worst[GRADES[-1]]
        unit = float(ulp(np.array(widest.expected), self._fmt)) if np.isfinite(widest.expected) else 1.0
        return RegionReport(
            value=self._value, region=self._region, entries=self._entries, ulp_error=widest.error / unit,
            worst=dict(self._worst), mismatches=self._mismatches, first_mismatch=self._first,
        )  # fmt: skip

    def _keep(self, grade: str, worst: Worst) -> None:
        with self._lock:
            known = self._worst[grade]
            # of equal ratios the first entry, so that threads report the same one each time
            ahead = worst.ratio > known.ratio or (worst.ratio == known.ratio and worst.index < known.index)
            larger = worst if ahead or known is _NOTHING else known
            count = known.violations + worst.violations
            self._worst[grade] = larger if larger.violations == count else replace(larger, violations=count)

    def _classify(self, compared: Comparison, error: Array, budget: Array, overflow: Array | bool) -> Array:
        """Judge the entries where truth or found is not finite, and return the error with these set to 0."""
        truth, found = compared.truth, compared.found
        odd = ~np.isfinite(error)
        same = (np.isnan(truth) & np.isnan(found)) | ((truth == found) & np.isinf(truth))
        # a result that cannot be told from one beyond the largest finite value is right as inf
        reach = np.isfinite(truth) & np.isinf(found) & (np.sign(truth) == np.sign(found))
        beyond = reach & (np.abs(truth) + budget * SLACK > self._fmt.largest)
        stored = odd & reach & ~beyond & overflow
        wrong = np.flatnonzero(odd & ~(same | beyond | stored))
        if wrong.size:
            at = int(wrong[0])
            first = Mismatch(index=compared.locate(at), expected=float(truth.flat[at]), found=float(found.flat[at]))
            with self._lock:
                self._mismatches += int(wrong.size)
                self._first = first if self._first is None or first.index < self._first.index else self._first
        for at in np.flatnonzero(stored) if self._fmt.is_half else ():
            worst = compared.worst(int(at), float("inf"), 0.0, float("inf"), 1)
            for grade in GRADES[:-1]:
                self._keep(grade, worst)
        return np.where(odd, 0.0, error)


def _measure(compared: Comparison, error: Array, budget: Array) -> Worst:
    ratio = error / budget
    at = int(ratio.argmax())
    if np.isnan(ratio.flat[at]):
        # 0 / 0 of exact regions, and the budgets of entries that were judged by their class alone
        ratio = np.where(error > 0.0, np.where(np.isnan(ratio), np.inf, ratio), 0.0)
        at = int(ratio.argmax())
    largest = float(ratio.flat[at]) / SLACK
    count = int(np.count_nonzero(ratio > SLACK)) if largest > 1.0 else 0
    return compared.worst(at, float(error.flat[at]), float(budget.flat[at]) * SLACK, largest, count)
