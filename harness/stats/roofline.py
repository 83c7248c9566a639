"""Least possible time of a pass on a measured device, and what it means when a measured time is below it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.core.case import Case
from harness.core.family import Cost

#: A ceiling is itself measured, on a machine whose bandwidth drifts by 10 %: less than this above it accuses nobody.
MARGIN = 1.25
CAUSES = (
    "likely causes: it returns what it kept from an earlier call, it was not waited for, "
    "or the work is done elsewhere (another thread, another stream)"
)
#: Among the samples of a cell: ``torch.autograd.grad(logits.clone(), logits, …)``, timed in the same rounds as the
#: implementations, none of which can be called so, as their names hold no space.
COPY = "copy of the logits"


def has_copy(case: Case, cost: Cost) -> bool:
    """Whether a copy is the least that the pass takes: loss and gradient in one, and no products of matrices."""
    return case.pass_ == "forward_backward" and not cost.flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Roofline:
    """Least possible time of one call in ns, and whether it is sound enough to refuse a figure."""

    least_ns: float
    judges: bool


def roofline(cost: Cost, ceilings: Mapping[str, Any], *, cache: str, dtype: str) -> Roofline:
    """Least possible time of a pass that costs ``cost``, from the ``ceilings`` of the device.

    ``cold`` reads come from memory: read bytes ÷ best read rate of memory. What is written may stay in the cache where
    it fits there (an allocator hands the same block out again), so all bytes are held against the cache's best rate,
    or against memory's where the written ones do not fit. A ``warm`` cell's bytes are all held against the cache, which
    judges nobody: nearer caches than the last level are faster than the figure. With matrix products, their time at the
    measured rate counts too. The largest of these is the least time.
    """
    memory, cached = ceilings["memory"], ceilings["cache"]
    all_bytes = cost.read_bytes + cost.write_bytes
    if cache == "cold":
        fits = cost.write_bytes <= ceilings["cache_bytes"]
        times = [cost.read_bytes / memory["best_read"], all_bytes / (cached if fits else memory)["best"]]
    else:
        times = [all_bytes / cached["best"]]
    rate = ceilings.get("flops_per_s", {}).get(dtype)
    if cost.flops and rate:
        times.append(cost.flops / rate)
    return Roofline(least_ns=max(times) * 1e9, judges=cache == "cold")


def implausible(median_ns: float, bound: Roofline, margin: float = MARGIN) -> str | None:
    """Why a time of ``median_ns`` cannot be; None where it can."""
    if not bound.judges or median_ns * margin >= bound.least_ns:
        return None
    return (
        f"measured {median_ns / 1e3:.3g} µs for what takes at least {bound.least_ns / 1e3:.3g} µs at the bandwidth "
        f"of this device, so no speed is shown; {CAUSES}"
    )


def best_ceilings(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The higher of two measurements, figure by figure: a ceiling is only ever measured too low."""
    return {key: _higher(value, other[key]) if key in other else value for key, value in one.items()}


def _higher(one: Any, other: Any) -> Any:
    if isinstance(one, Mapping):
        return best_ceilings(one, other)
    return max(one, other)
