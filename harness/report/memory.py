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
    loss and gradients take themselves."""

    title: str
    loss: str
    device: str
    pass_: str
    shape: str
    dtype: str
    result_bytes: Mapping[str, float]
    peak_bytes: Mapping[str, float]
    first_call_ns: Mapping[str, float]
    roofline_fraction: Mapping[str, float]

    @property
    def results(self) -> float | None:
        """``result_bytes``, the same for all; None in runs from before it was kept."""
        return max(self.result_bytes.values(), default=None)


#: Metric → which of two values over regimes is the worse one.
_WORSE: Mapping[str, Callable[[float, float], float]] = MappingProxyType(
    {"result_bytes": max, "peak_bytes": max, "first_call_ns": max, "roofline_fraction": min}
)


def memory_lines(groups: Sequence[Group]) -> tuple[MemoryLine, ...]:
    """Lines in the order of the speed tables; cells without any such figure have none."""
    found: dict[tuple[str, str, str, str, str, str], dict[str, dict[str, float]]] = {}
    for group in groups:
        for line in group.lines:
            key = (group.title, group.loss, group.device, group.pass_, shape_text(line.case), line.case.dtype)
            for name, row in line.rows.items():
                for metric, worse in _WORSE.items():
                    value = row.metric(metric) if row.is_timed else None
                    if value is not None:
                        worst = found.setdefault(key, {metric: {} for metric in _WORSE})[metric]
                        worst[name] = worse(value, worst.get(name, value))
    return tuple(
        MemoryLine(title=title, loss=loss, device=device, pass_=pass_, shape=shape, dtype=dtype, **figures)
        for (title, loss, device, pass_, shape, dtype), figures in found.items()
    )
