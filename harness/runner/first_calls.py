"""What it takes until an implementation runs at full speed, told apart from its speed: import, compilation, graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from harness.core.compiling import compile_key
from harness.core.outcome import JUDGED, Outcome

#: First calls below this are no news.
_WORTH_TELLING_NS = 0.5e9


def first_call_lines(outcomes: Sequence[Outcome], recompile_limit: int = 8) -> list[str]:
    """One line for each implementation whose import or first calls take long, or that compiles graphs.

    Over the sweep of a suite: how many sets of shapes, dtypes and options it met first, in how many graphs, the time of
    the very first call (with what is loaded then) and the median of those after it.
    """
    found: dict[str, dict[str, tuple[float, int]]] = {}
    imports: dict[str, float] = {}
    for outcome in outcomes:
        first_ns = outcome.metrics.get("first_call_ns")
        if outcome.kind != JUDGED or first_ns is None:
            continue
        name, key = outcome.implementation, compile_key(outcome.case)
        graphs = int(outcome.metrics.get("compiled_graphs") or 0)
        known = found.setdefault(name, {}).get(key, (float(first_ns), 0))
        found[name][key] = (known[0], max(known[1], graphs))
        if outcome.metrics.get("import_ns") is not None:
            imports.setdefault(name, float(outcome.metrics["import_ns"]))
    lines = [_line(name, list(keys.values()), imports, recompile_limit) for name, keys in found.items()]
    return [line for line in lines if line]


def _line(name: str, keys: Sequence[tuple[float, int]], imports: Mapping[str, float], limit: int) -> str:
    times, graphs = [time for time, _ in keys], sum(count for _, count in keys)
    import_ns = imports.get(name, 0.0)
    if not graphs and max((*times, import_ns)) < _WORTH_TELLING_NS:
        return ""
    text = f"first calls of {name}: import {import_ns / 1e9:.1f} s, the very first {times[0] / 1e9:.1f} s"
    if len(times) > 1:
        text += f", then {median(times[1:]) / 1e9:.2g} s for each further set of shapes"
    if graphs:
        text += f"; {graphs} graphs compiled over {len(times)} sets of shapes, each from a fresh compiler"
        if graphs > limit:
            text += f" (in one process without reset the limit of {limit} for one function would be met)"
    return text
