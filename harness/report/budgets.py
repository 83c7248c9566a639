"""What one cell and implementation of a run are held to by the gate: ratios to another run, and absolute limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

from harness.suite.model import Budget, Gate

_FIGURES = ("max_slowdown", "max_memory_growth", "min_speedup", "max_seconds_per_call", "max_peak_bytes")


def budget_of(gate: Gate, cell: str, implementation: str) -> Budget:
    """The budget of ``implementation`` on ``cell``: the gate's own figures, then each entry that names them in turn."""
    found = Budget(
        cell=cell, implementation=implementation, max_slowdown=gate.max_slowdown,
        max_memory_growth=gate.max_memory_growth, min_speedup=gate.min_speedup.get(implementation),
    )  # fmt: skip
    for entry in gate.budgets:
        if fnmatchcase(cell, entry.cell) and fnmatchcase(implementation, entry.implementation):
            told = {name: getattr(entry, name) for name in _FIGURES if getattr(entry, name) is not None}
            found = replace(found, **told)
    return found


def exceeded(mine: Mapping[str, Any], theirs: Mapping[str, Any], budget: Budget) -> list[str]:
    """What the figures ``mine`` exceed of ``budget`` beside speed ratios; ``theirs`` are the other run's."""
    found = []
    now, then = mine.get("peak_bytes"), theirs.get("peak_bytes")
    growth = budget.max_memory_growth
    if growth is not None and now and then and now > growth * then:
        found.append(f"peak memory {then} → {now} bytes, ×{now / then:.3g}; allowed ×{growth:g}")
    if budget.max_peak_bytes is not None and now and now > budget.max_peak_bytes:
        found.append(f"peak memory {now} bytes; allowed {budget.max_peak_bytes}")
    seconds = float(mine.get("median_ns") or 0.0) / 1e9
    if budget.max_seconds_per_call is not None and seconds > budget.max_seconds_per_call:
        found.append(f"a call takes {seconds:.4g} s; allowed {budget.max_seconds_per_call:g} s")
    return found


def least_speedup(mine: Mapping[str, Any], limit: float) -> tuple[bool | None, str]:
    """Whether the interval of the speedup lies above ``limit`` (None: it contains it), and the figures in words."""
    low, high = float(mine.get("speedup_low", 0.0)), float(mine.get("speedup_high", math.inf))
    text = f"speedup {low:.3g} to {high:.3g}, at least {limit:g} asked"
    return (False if high < limit else True if low >= limit else None), text
