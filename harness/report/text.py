"""Figures and names as people read them; text of strangers made harmless for a terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from harness.core.case import Case

_SHOWN = ("loss", "batch", "classes", "features", "dims", "dtype", "device", "regime", "pass_", "options")
_DEFAULTS = {field.name: field.default for field in fields(Case) if field.name not in _SHOWN}
FACTS = (
    "value",
    "error",
    "budget",
    "ratio",
    "ulp_error",
    "region",
    "worst_index",
    "expected",
    "found",
    "grade",
    "required_grade",
    "seed",
)
_BREAKS = re.compile(r"(?<=[_.:/-])")
_TIMES = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_SIZES = ((1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))


def plain(text: str) -> str:
    """``text`` on one line without control characters: a stranger's escape sequences must not reach a terminal."""
    return "".join(char if char.isprintable() else " " if char in "\n\t\r" else "�" for char in text)


def clip(text: str, limit: int) -> str:
    """``text`` with its middle left out where it is longer than ``limit`` characters."""
    if len(text) <= limit:
        return text
    head = (limit - 1) // 2
    return f"{text[:head]}…{text[-(limit - 1 - head) :]}"


def break_name(name: str, width: int, lines: int = 2) -> str:
    """A name for a narrow column: at most ``lines`` lines of ``width`` characters, broken behind ``_ . : / -``."""
    rows = [""]
    for part in _BREAKS.split(clip(plain(name), width * lines)):
        if rows[-1] and len(rows[-1]) + len(part) > width:
            rows.append("")
        rows[-1] += part
    return "\n".join(rows) if len(rows) <= lines else clip(plain(name), width)


def shape_text(case: Case) -> str:
    """Sizes as in the cell id: NxC, NxCxd1…, or NxHxC of a linear loss."""
    return "x".join(
        str(size) for size in (case.batch, *((case.features,) if case.features else ()), case.classes, *case.dims)
    )


def extras_text(case: Case) -> str:
    """Axes away from their default, ``axis=value``, apart from shape, dtype, device, regime and pass."""
    extra = {name: getattr(case, name) for name, default in _DEFAULTS.items() if getattr(case, name) != default}
    extra.update(case.options)
    return " ".join(f"{name}={plain(str(value))}" for name, value in sorted(extra.items()))


def duration(value_ns: float | None) -> str:
    """Nanoseconds with three figures: ``1.32 ms``."""
    return _scaled(value_ns, _TIMES)


def size(value_bytes: float | None) -> str:
    """Bytes with three figures: ``12.5 MiB``."""
    return _scaled(value_bytes, _SIZES)


#: In place of a ratio of passes that do not do the same work.
NOT_COMPARED = "not compared"


#: What the column ``copy`` of a speed table says, for its legend.
COPY_LEGEND = "copy: a copy of the logits through autograd, timed in the same rounds"


def speedup(value: float | None, low: float | None, high: float | None) -> str:
    """``1.32× ±0.02``: the ratio and the larger half of its interval; ``±?`` where that has no end.

    A timed row has no ratio where its forward makes the gradient and the baseline's does not.
    """
    if value is None:
        return NOT_COMPARED
    if not math.isfinite(value):
        return f"{value}×"
    places = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    if low is None or high is None:
        return f"{value:.{places}f}×"
    half = max(abs(low - value), abs(high - value))
    spread = f" ±{half:.{places}f}" if math.isfinite(half) else " ±?"  # too few rounds for an interval
    return f"{value:.{places}f}×{spread}"


def median_speedup(value: float | None) -> str:
    """``1.32×``, or a dash where nothing was compared."""
    return "–" if value is None else speedup(value, None, None)


def figure(value: object, digits: int = 4) -> str:
    """A number with ``digits`` figures, NaN and infinities by name, anything else as text; a dash for nothing."""
    if value is None:
        return "–"
    return f"{value:.{digits}g}" if isinstance(value, float) else plain(str(value))


def verdict_facts(metrics: Mapping[str, object], names: Sequence[str] = FACTS) -> list[tuple[str, str]]:
    """What a verdict carries (error, budget, region, worst index, seed, …) as label and text, as far as it has them."""
    found = [(name, metrics.get(name)) for name in names]
    # expected and found may differ in the last place only
    return [
        (name, figure(v, 9 if name in ("expected", "found") else 4)) for name, v in found if v is not None and v != ""
    ]


def mapping(value: object) -> Mapping[str, Any]:
    """``value`` where it is a mapping, else an empty one: a run folder may hold anything anywhere."""
    return value if isinstance(value, Mapping) else {}


def count(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _scaled(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None or not math.isfinite(value):
        return "–" if value is None else str(value)
    factor, unit = next(((f, u) for f, u in units if abs(value) >= f), units[-1])
    number = value / factor
    if number >= 1000 or number == int(number):
        return f"{number:.0f} {unit}"
    return f"{number:.3g} {unit}"


def share(fraction: float | None) -> str:
    """A part of a whole in percent, as ``12 %``; ``<1 %`` for less."""
    if fraction is None:
        return "–"
    return f"{100 * fraction:.0f} %" if fraction >= 0.01 else "<1 %"
