"""What became of a run against an earlier one: wrong, right, slower, faster, ambiguous, same, new, gone."""

from __future__ import annotations

import math

import pandas as pd

from harness.core.status import ADMITTED, FAULTS
from harness.report.analysis import Printed
from harness.stats.interval import INDIFFERENCE

#: What can be said of a cell and implementation, in the order in which it is told.
CHANGES = ("wrong", "slower", "faster", "right", "changed", "ambiguous", "new", "gone", "same")
_KEYS = ["cell", "implementation"]
_KEPT = ("status", "reason", "speedup", "speedup_low", "speedup_high", "peak_bytes")
_FAULTS = {status.value for status in FAULTS}
_ADMITTED = {status.value for status in ADMITTED}


def compare(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """What changed from ``old`` to ``new``, one row per cell and implementation of either, what matters most first.

    Compared are answers, and speedups over the baseline implementation: the machine's own speed cancels out.
    ``change`` is ``wrong`` (right before, at fault now), ``right`` (the reverse), ``slower`` or ``faster`` (the
    intervals say so, beyond 1 %), ``ambiguous`` (they do not), ``same``, ``new`` or ``gone``; ``changed`` is any other
    change of status. ``factor`` is the new speedup ÷ the old one, with its interval ``factor_low``, ``factor_high``.
    ``python -m harness gate`` tests the raw samples, which is sharper.
    """
    left, right = (_side(frame, end) for frame, end in ((old, "_old"), (new, "_new")))
    table = left.merge(right, on=_KEYS, how="outer", sort=False)
    factors = [_factor(row) for row in table.to_dict("records")]
    table["change"] = pd.Categorical(
        [_change(row, factor) for row, factor in zip(table.to_dict("records"), factors, strict=True)],
        categories=list(CHANGES),
        ordered=True,
    )
    for place, name in enumerate(("factor", "factor_low", "factor_high")):
        table[name] = [round(factor[place], 3) for factor in factors]
    columns = [
        "change",
        "factor",
        "factor_low",
        "factor_high",
        "speedup_old",
        "speedup_new",
        "status_old",
        "status_new",
    ]
    columns += ["peak_bytes_old", "peak_bytes_new", "reason_new"]
    return Printed(table.set_index(_KEYS).sort_values(["change", "factor"], kind="stable")[columns])


def _side(frame: pd.DataFrame, end: str) -> pd.DataFrame:
    """One row per cell and implementation: the last of several runs counts."""
    last = frame.drop_duplicates(_KEYS, keep="last")
    kept = last[[*_KEYS, *_KEPT]].astype({"status": "str", "implementation": "str"})
    return kept.rename(columns={name: f"{name}{end}" for name in _KEPT})


def _factor(row: dict[str, object]) -> tuple[float, float, float]:
    names = ("speedup", "speedup_low", "speedup_high")
    old, old_low, old_high = (_positive(row[f"{name}_old"]) for name in names)
    new, new_low, new_high = (_positive(row[f"{name}_new"]) for name in names)
    # two independent intervals: their half-widths in logarithms add as squares
    down = math.hypot(_log(new / new_low), _log(old_high / old))
    up = math.hypot(_log(new_high / new), _log(old / old_low))
    return new / old, new / old * math.exp(-down), new / old * math.exp(min(up, 700.0))


def _log(value: float) -> float:
    return math.log(value) if 0 < value < math.inf else math.nan if math.isnan(value) else math.inf


def _positive(value: object) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else math.nan


def _change(row: dict[str, object], factor: tuple[float, float, float]) -> str:
    old, new = row["status_old"], row["status_new"]
    if not isinstance(old, str) or not isinstance(new, str):
        return "gone" if isinstance(old, str) else "new"
    if old != new and (old in _FAULTS) != (new in _FAULTS):
        return "wrong" if new in _FAULTS else "right" if new in _ADMITTED else "changed"
    return "changed" if old != new else _speed(*factor)


def _speed(factor: float, low: float, high: float) -> str:
    if math.isnan(factor) or (low >= 1 - INDIFFERENCE and high <= 1 + INDIFFERENCE):
        return "same"
    if low > 1 + INDIFFERENCE:
        return "faster"
    return "slower" if high < 1 - INDIFFERENCE else "ambiguous"
