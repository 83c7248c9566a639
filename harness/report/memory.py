"""Peak memory and first call per shape, dtype, device and pass: the largest over regimes and options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.report.tables import Group
from harness.report.text import shape_text


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLine:
    """One line of the memory table: largest peak above the inputs and slowest first call, by implementation."""

    device: str
    pass_: str
    shape: str
    dtype: str
    peak_bytes: Mapping[str, float]
    first_call_ns: Mapping[str, float]


def memory_lines(groups: Sequence[Group]) -> tuple[MemoryLine, ...]:
    """Lines in the order of the speed tables; cells without any such figure have none."""
    found: dict[tuple[str, str, str, str], tuple[dict[str, float], dict[str, float]]] = {}
    for group in groups:
        for line in group.lines:
            key = (group.device, group.pass_, shape_text(line.case), line.case.dtype)
            for name, row in line.rows.items():
                for place, metric in enumerate(("peak_bytes", "first_call_ns")):
                    value = row.metric(metric) if row.is_timed else None
                    if value is not None:
                        largest = found.setdefault(key, ({}, {}))[place]
                        largest[name] = max(value, largest.get(name, value))
    return tuple(
        MemoryLine(device=device, pass_=pass_, shape=shape, dtype=dtype, peak_bytes=peaks, first_call_ns=firsts)
        for (device, pass_, shape, dtype), (peaks, firsts) in found.items()
    )
