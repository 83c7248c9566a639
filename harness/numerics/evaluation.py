"""What comparing one answer with the oracle found: by region and grade, the worst entry and its budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: Strictest first; the budgets of each contain those of the stricter ones.
GRADES = ("relative", "tight", "standard")


@dataclass(frozen=True, slots=True, kw_only=True)
class Worst:
    """The entry with the largest error ÷ budget under one grade, and how many entries exceeded their budget.

    ``error`` and ``budget`` are absolute, in the unit of the value; ``index`` is into the value's own shape (empty when
    nothing finite was compared); ``expected`` is the oracle's value as a float and ``found`` the one judged.
    """

    error: float
    budget: float
    ratio: float
    index: tuple[int, ...]
    expected: float
    found: float
    violations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatch:
    """An entry that is NaN, +inf, -inf or finite where it should be another of these."""

    index: tuple[int, ...]
    expected: float
    found: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionReport:
    """One region of one value.

    ``value`` is loss, grad_logits, grad_target or grad_weight; ``region`` loss, target, other, ignored or probability;
    ``ulp_error`` is that of the worst entry under the widest grade, in ulp of the output dtype at the expected value.
    """

    value: str
    region: str
    entries: int
    ulp_error: float
    worst: Mapping[str, Worst]
    mismatches: int
    first_mismatch: Mismatch | None

    def earns(self, grade: str) -> bool:
        """Whether every entry of this region keeps the budget of ``grade``, or of a stricter one."""
        enough = GRADES[: GRADES.index(grade) + 1]
        return self.mismatches == 0 and any(self.worst[one].violations == 0 for one in enough)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """The reports of all regions that have entries."""

    regions: tuple[RegionReport, ...]

    @property
    def grade(self) -> str | None:
        """The strictest grade that every region earns; None when not even the widest."""
        return next((grade for grade in GRADES if all(region.earns(grade) for region in self.regions)), None)

    def of(self, value: str) -> Evaluation:
        """The reports of one value alone."""
        return Evaluation(regions=tuple(region for region in self.regions if region.value == value))

    def region(self, value: str, region: str) -> RegionReport | None:
        """The report of one region, if it has entries."""
        return next((r for r in self.regions if r.value == value and r.region == region), None)

    def worst(self, grade: str) -> RegionReport | None:
        """The region to blame: one with mismatches if there is any, else that of the largest ratio; None if empty."""
        return max(self.regions, key=lambda r: (r.mismatches > 0, r.worst[grade].ratio), default=None)
