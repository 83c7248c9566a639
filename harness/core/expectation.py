"""Declared differences: ``check[condition, …]`` → reason, and whether one covers an outcome."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from harness.core.case import Case
from harness.core.errors import UsageError

_PATTERN = re.compile(r"^\s*([\w*?|]+)\s*(?:\[(.*)\])?\s*$", re.DOTALL)
_CONDITION = re.compile(r"^\s*(\w+)\s*(<=|>=|!=|=|<|>)\s*(.+?)\s*$")
_NUMERIC: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """``axis=a|b`` (globs allowed), ``axis!=a|b``, or a number compared with ``<``, ``<=``, ``>``, ``>=``."""

    axis: str
    operator: str
    value: str

    def holds(self, case: Case, variant: str = "", region: str = "") -> bool:
        """Whether this condition holds in ``case``; an axis that the case lacks never holds."""
        found = _axis_value(case, self.axis, variant, region)
        if found is None:
            return False
        if self.operator in _NUMERIC:
            return _NUMERIC[self.operator](float(str(found)), float(self.value))
        matched = any(_equal(str(found), wanted.strip()) for wanted in self.value.split("|"))
        return matched if self.operator == "=" else not matched


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """One declared difference of an implementation: where it shows, and why."""

    text: str
    checks: tuple[str, ...]
    conditions: tuple[Condition, ...]
    reason: str

    def covers(self, check: str, case: Case, variant: str = "", region: str = "") -> bool:
        """Whether a difference in ``check`` on ``case`` was declared by this expectation."""
        if not any(fnmatchcase(check, pattern) for pattern in self.checks):
            return False
        return all(condition.holds(case, variant, region) for condition in self.conditions)

    def may_cover(self, check: str, case: Case) -> bool:
        """Whether it covers ``check`` on ``case`` in some variant or region."""
        asked = [condition for condition in self.conditions if condition.axis not in ("variant", "region")]
        return any(fnmatchcase(check, pattern) for pattern in self.checks) and all(c.holds(case) for c in asked)


def parse_expectation(text: str, reason: str) -> Expectation:
    """Read ``check[condition, …]``; ``check`` may be a glob or ``a|b``.

    Raises:
        UsageError: the text has another form, or the reason is empty.
    """
    match = _PATTERN.match(text)
    if match is None:
        raise UsageError(f"expect key {text!r} is not check[axis=value, …], e.g. gradient[dtype=bfloat16,device=cpu]")
    if not reason.strip():
        raise UsageError(f"expect key {text!r} gives no reason: say what goes wrong and why")
    conditions = tuple(_parse_condition(part, text) for part in (match[2] or "").split(",") if part.strip())
    return Expectation(text=text, checks=tuple(match[1].split("|")), conditions=conditions, reason=reason)


def _parse_condition(part: str, text: str) -> Condition:
    match = _CONDITION.match(part)
    if match is None:
        raise UsageError(
            f"condition {part.strip()!r} in expect key {text!r} is not axis=value, axis!=value or axis>=number"
        )
    axis, op, value = match.groups()
    if axis not in _AXES:
        raise UsageError(f"unknown axis {axis!r} in expect key {text!r}; allowed: {', '.join(sorted(_AXES))}")
    if op in _NUMERIC:
        try:
            float(value)
        except ValueError:
            raise UsageError(f"{value!r} in expect key {text!r} is no number, which {op!r} needs") from None
    return Condition(axis=axis, operator=op, value=value)


_CASE_AXES = {
    "loss": "loss",
    "batch": "batch",
    "classes": "classes",
    "features": "features",
    "dtype": "dtype",
    "device": "device",
    "regime": "regime",
    "pass": "pass_",
    "reduction": "reduction",
    "target": "target",
    "ignored": "ignored",
    "weight": "weight",
    "ignore_index": "ignore_index",
    "label_smoothing": "label_smoothing",
    "layout": "layout",
    "grad_output": "grad_output",
    "seed": "seed",
    "rows": "rows",
    "elements": "elements",
    "target_kind": "target_kind",
}
_AXES = {*_CASE_AXES, "dims", "variant", "region"}


def _axis_value(case: Case, axis: str, variant: str, region: str) -> object | None:
    if axis == "variant":
        return variant
    if axis == "region":
        return region
    if axis == "dims":
        return len(case.dims)
    return getattr(case, _CASE_AXES[axis])


def _equal(found: str, wanted: str) -> bool:
    try:
        return float(found) == float(wanted)
    except ValueError:
        # cuda:1 is a cuda device wherever a condition says device=cuda
        return fnmatchcase(found, wanted) or found.split(":", 1)[0] == wanted
