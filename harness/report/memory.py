"""Peak memory, first call and roofline fraction per shape, dtype, device and pass: the worst of regimes and options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from harness.report.tables import Group
from harness.report.text import shape_text


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLine:
    """One line of the memory table, by implementation: largest peak above the inputs, slowest first call, and least
    ``roofline_fraction`` (least possible time ÷ median); ``title`` is that of its speed table. ``result_bytes``: what
    loss and gradients take themselves, None in runs from before it was kept."""

    title: str
    loss: str
    device: str
    pass_: str
    shape: str
    dtype: str
    result_bytes: float | None
    peak_bytes: Mapping[str, float]
    first_call_ns: Mapping[str, float]
    roofline_fraction: Mapping[str, float]


#: Metric → which of two values over regimes is the worse one.
_WORSE: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {"peak_bytes": max, "first_call_ns": max, "roofline_fraction": min}
)


def memory_lines(groups: Sequence[Group]) -> tuple[MemoryLine, ...]:
    """Lines in the order of the speed tables; cells without any such figure have none."""
    found: dict[tuple[str, str, str, str, str, str], dict[str, dict[str, float]]] = {}
    results: dict[tuple[str, str, str, str, str, str], float | None] = {}
    for group in groups:
        for line in group.lines:
            key = (group.title, group.loss, group.device, group.pass_, shape_text(line.case), line.case.dtype)
            if line.baseline is not None:
                results[key] = line.baseline.metric("result_bytes")
            for name, row in line.rows.items():
                for metric, worse in _WORSE.items():
                    value = row.metric(metric) if row.is_timed else None
                    if value is not None:
                        worst = found.setdefault(key, {metric: {} for metric in _WORSE})[metric]
                        worst[name] = worse(value, worst.get(name, value))
    return tuple(
        MemoryLine(
            title=key[0],
            loss=key[1],
            device=key[2],
            pass_=key[3],
            shape=key[4],
            dtype=key[5],
            result_bytes=results.get(key),
            **figures,
        )
        for key, figures in found.items()
    )
