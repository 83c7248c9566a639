"""From entries to cases: the product of each entry's axes, counted before any of it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from harness.core.case import PASSES, Case
from harness.core.family import Family
from harness.suite.model import MAX_CELLS, SHAPE, AxisValue, Entry, Suite
from harness.suite.problems import Problem, suite_error

_CASE_FIELDS = frozenset(Case.__dataclass_fields__) - {"options", "pass_", "loss"}


def count_cells(suite: Suite) -> int:
    """Number of cells before repeated ones are dropped; costs nothing however many they are."""
    return sum(_count(entry) for entry in suite.entries)


def expand(suite: Suite, families: Mapping[str, Family]) -> tuple[Case, ...]:
    """All cases of ``suite`` in the file's order, the last axis fastest, cells that differ only in pass side by side.

    A cell that an earlier entry already has is dropped. Combinations without meaning stay in: the runner marks them
    ``skipped`` with the family's reason.

    Raises:
        SuiteError: more than 100,000 cells.
    """
    total = count_cells(suite)
    if total > MAX_CELLS:
        largest = max(suite.entries, key=_count)
        raise suite_error(suite.source, [_too_many(largest, total)])
    cases = (case for entry in suite.entries for case in _entry_cases(entry, families[entry.loss]))
    return tuple(dict.fromkeys(cases))


def _count(entry: Entry) -> int:
    return math.prod(len(values) for _, values in entry.axes)


def _too_many(entry: Entry, total: int) -> Problem:
    sizes = " × ".join(f"{name} {len(values)}" for name, values in entry.axes if len(values) > 1)
    found = f"{total:,} cells in all, {_count(entry):,} of them in this entry: {sizes}"
    return Problem(line=entry.line, key=entry.key, found=found, allowed=f"at most {MAX_CELLS:,} cells in a suite")


def _entry_cases(entry: Entry, family: Family) -> Iterator[Case]:
    given = dict(entry.axes)
    defaults = {axis.name: axis.default for axis in family.axes if axis.default is not None and axis.name not in given}
    passes = given.get("pass", (defaults.get("pass", PASSES[-1]),))
    names = [name for name in given if name != "pass"]
    for values in product(*(given[name] for name in names)):
        axes = {**defaults, **dict(zip(names, values, strict=True))}
        for pass_ in passes:
            yield _case(entry.loss, str(pass_), axes, family)


def _case(loss: str, pass_: str, axes: Mapping[str, AxisValue], family: Family) -> Case:
    known: dict[str, Any] = {}
    other: list[tuple[str, Any]] = []
    for name, value in axes.items():
        if name == SHAPE:
            known.update(_sizes(value, family))
        elif name in _CASE_FIELDS:
            known[name] = _as_axis(value, family, name)
        elif name != "pass":
            other.append((name, value))
    return Case(loss=loss, pass_=pass_, options=family.away(dict(other)), **known)


def _as_axis(value: AxisValue, family: Family, name: str) -> AxisValue:
    axis = family.axis(name)
    # 0, 0.0 and -0.0 are one value of a float axis, and one cell id
    return value + 0.0 if axis and axis.kind == "float" and isinstance(value, int | float) else value


def _sizes(shape: AxisValue, family: Family) -> dict[str, Any]:
    sizes = list(shape) if isinstance(shape, tuple) else []
    batch = sizes.pop(0)
    features = {"features": sizes.pop(0)} if family.axis("features") else {}
    return {"batch": batch, **features, "classes": sizes[0], "dims": tuple(sizes[1:])}
