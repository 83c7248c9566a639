"""``choose``: which implementation to use per shape, under limits of memory and error, from files alone."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.core.case import PASSES
from harness.core.errors import UsageError
from harness.core.status import EXIT_AS_EXPECTED, EXIT_NOTHING_RAN
from harness.report.text import break_name, duration, figure, plain, size

WIDTH = 100
MAX_ROWS = 60
_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
          "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}  # fmt: skip


def choose(
    run: Path,
    *,
    console: Console,
    max_memory: str | None = None,
    max_ulp: float | None = None,
    pass_: str | None = None,
) -> int:
    """Print winners, crossovers, Pareto sets and the largest batch that fits; 3 where nothing keeps the limits.

    Raises:
        UsageError: a limit cannot be read, or no such pass.
        RunFolderError: the run cannot be read.
    """
    from harness.report.choose import choose as chosen
    from harness.report.frame import load

    if pass_ is not None and pass_ not in PASSES:
        raise UsageError(f"--pass: found {pass_!r}; allowed: {', '.join(PASSES)}")
    limit = None if max_memory is None else memory_bytes(max_memory)
    frame = load(run)
    choice = chosen(frame, max_memory_bytes=limit, max_ulp=max_ulp, pass_=pass_)
    for doubt in frame.attrs["speed_doubts"]:
        console.print(Text(plain(doubt), style="bold red"), soft_wrap=True)
    inside = choice.winners[choice.winners["winner"] != "none"]
    _table(console, "the fastest that is right and keeps the limits", choice.winners, _WINNER)
    _table(console, "where the winner changes", choice.crossovers, _CROSSOVER)
    _table(
        console, "largest batch within the memory limit (peak above the inputs, extrapolated)", choice.largest, _LARGEST
    )
    out = choice.candidates[choice.candidates["excluded"] != ""]
    for (name, reason), group in out.groupby(["implementation", "excluded"], observed=True, sort=False):
        console.print(Text(f"out: {plain(str(name))} in {len(group)} shapes: {plain(str(reason))}"), soft_wrap=True)
    if not len(inside):
        console.print("nothing in this run is right, timed and within the limits")
    return EXIT_AS_EXPECTED if len(inside) else EXIT_NOTHING_RAN


def memory_bytes(text: str) -> int:
    """Bytes of ``2GiB``, ``500 MB`` or a plain number.

    Raises:
        UsageError: the text is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?(?:I?B)?)\s*", text.upper())
    if match is None or match[2] not in _UNITS:
        raise UsageError(
            f"--max-memory: found {text!r}; allowed: bytes, or a number with KiB, MiB, GiB, TiB, KB, MB, GB"
        )
    return int(float(match[1]) * _UNITS[match[2]])


def _missing(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _number(value: Any) -> str:
    return "–" if _missing(value) else figure(float(value), 3)


def _whole(value: Any) -> str:
    return "–" if _missing(value) else f"{value:.0f}"


def _names(value: Any) -> str:
    return break_name(plain(str(value)), 20, lines=3)


#: Column of the frame → heading and how a value is shown.
_Shown = dict[str, tuple[str, Callable[[Any], str]]]


def _short_pass(value: Any) -> str:
    return str(value).replace("forward", "fwd").replace("backward", "bwd")


def _nanoseconds(value: Any) -> str:
    return duration(None if _missing(value) else float(value))


def _bytes(value: Any) -> str:
    return size(None if _missing(value) else float(value))


_WHERE: _Shown = {
    "loss": ("loss", str),
    "device": ("device", str),
    "pass": ("pass", _short_pass),
    "dtype": ("dtype", str),
}
_WINNER: _Shown = {
    **_WHERE, "shape": ("shape", str), "winner": ("winner", _names), "as_fast": ("as fast", _names),
    "speedup": ("speedup", _number), "median_ns": ("time", _nanoseconds),
    "peak_bytes": ("peak", _bytes), "ulp_error": ("ulp", _number),
}  # fmt: skip
_CROSSOVER: _Shown = {
    **_WHERE, "at": ("at", str), "below": ("below", _names), "above": ("above", _names), "axis": ("along", str),
    "from": ("from", str), "to": ("to", str), "crossover": ("about", _whole),
}  # fmt: skip
_LARGEST: _Shown = {
    **_WHERE, "features": ("features", str), "classes": ("classes", str), "implementation": ("implementation", _names),
    "peak_bytes_per_row": ("peak per row", _bytes), "largest_batch": ("largest batch", str),
}  # fmt: skip


def _print(console: Console, table: Table) -> None:
    if console.is_terminal:
        console.print(table, width=min(WIDTH, console.width))
        return
    # a pipe has no width of its own, and rich takes 80 for it
    stream = io.StringIO()
    Console(file=stream, width=WIDTH, color_system=None, force_terminal=False).print(table)
    lines = (line.rstrip() for line in stream.getvalue().splitlines())
    console.print(Text("\n".join(lines)), soft_wrap=True)


def _table(console: Console, title: str, frame: Any, shown: _Shown) -> None:
    if not len(frame):
        return
    table = Table(box=None, padding=(0, 1, 0, 0))
    names = [name for name in shown if name not in (*_WHERE, "features") or frame[name].nunique() > 1]
    for name in names:
        right = name in (
            "speedup",
            "median_ns",
            "peak_bytes",
            "ulp_error",
            "crossover",
            "largest_batch",
            "peak_bytes_per_row",
        )
        table.add_column(
            shown[name][0], justify="right" if right else "left", overflow="fold", no_wrap=right or name == "shape"
        )
    for row in frame.head(MAX_ROWS).to_dict("records"):
        table.add_row(*(Text(shown[name][1](row[name])) for name in names))
    fixed = [f"{frame[name].iloc[0]}" for name in _WHERE if name != "loss" and frame[name].nunique() == 1]
    console.print(Text(" · ".join([title, *fixed]), style="bold"), soft_wrap=True)
    _print(console, table)
    if len(frame) > MAX_ROWS:
        console.print(f"… and {len(frame) - MAX_ROWS} more rows")
    console.print()
