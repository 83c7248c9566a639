"""From what two processes sampled of a cell to the figures of each implementation: torch-free, derived from samples."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from harness.core.case import Case
from harness.core.family import Cost
from harness.stats.interval import RatioSummary, log_ratios, summarise_logs
from harness.stats.roofline import COPY, Roofline, implausible, roofline

#: A share of interrupted samples above which a cell is flagged as noisy (accuracy_stats.md B3.8), and of stolen time.
STARVED_SHARE, STOLEN_SHARE, WIDE_SIGMA = 0.2, 0.05, 0.05


@dataclass(slots=True)
class Half:
    """What one process has said of one cell."""

    samples: Mapping[str, list[int]] = field(default_factory=dict)
    calls: Mapping[str, int] = field(default_factory=dict)
    rounds: int = 0
    shared: Mapping[str, Any] = field(default_factory=dict)
    arms: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refused: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def hear(self, message: Mapping[str, Any]) -> None:
        """Take one message of the worker."""
        if "samples" in message:
            self.samples, self.calls, self.rounds = message["samples"], message["calls"], message["rounds"]
            self.shared, self.arms = message.get("shared", {}), message.get("arms", {})
        elif "arm" in message:
            self.refused.setdefault(message["arm"], message)

    def per_call_ns(self, name: str) -> list[float]:
        """Time of one call in each round, in ns."""
        return [total / self.calls[name] for total in self.samples.get(name, ())]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the figures of one cell are derived with; ``ceilings`` is None where none could be measured."""

    case: Case
    baseline: str
    cost: Cost
    confidence: float
    target_relative_width: float
    ceilings: Mapping[str, Any] | None


def timed_figures(name: str, halves: Sequence[Half], asked: Asked) -> dict[str, Any]:
    """Figures of implementation ``name``: times, ratio to the baseline with its interval, roofline, and noise."""
    times = [half.per_call_ns(name) for half in halves]
    pooled = [value for values in times for value in values]
    centre = median(pooled)
    least = asked.cost.total_bytes
    figures: dict[str, Any] = {
        "baseline": asked.baseline, "median_ns": round(centre, 1), "rounds": len(pooled),
        "calls_per_sample": halves[0].calls[name], "least_bytes": least,
        "bandwidth_bytes_per_s": round(least / centre * 1e9), "result_bytes": asked.cost.write_bytes,
        **_shared(halves), **_arm(name, halves),
    }  # fmt: skip
    bound = bound_of(halves, asked)
    if bound is not None:
        figures["least_ns"] = round(bound.least_ns, 1)
        figures["roofline_fraction"] = _short(bound.least_ns / centre)
        faults = figures.get("page_faults_per_call")
        if faults is not None and asked.ceilings is not None and "page_fault_ns" in asked.ceilings:
            figures["page_fault_share"] = _short(min(1.0, faults * asked.ceilings["page_fault_ns"] / centre))
    figures.update(_beside_copy(name, halves))
    summary = _summary(name, halves, asked)
    figures.update(_ratio(summary) if summary is not None else _baseline(halves, asked))
    noise = _noise(figures)
    return {**figures, "noise": noise} if noise else figures


def _beside_copy(name: str, halves: Sequence[Half]) -> dict[str, Any]:
    """What a copy of the logits takes in the same rounds, and how many of them a call takes; nothing where none was."""
    copies = [value for half in halves for value in half.per_call_ns(COPY)]
    if not copies:
        return {}
    ratios = [value for half in halves for value in log_ratios(half.per_call_ns(name), half.per_call_ns(COPY))]
    return {"copy_ns": round(median(copies), 1), "copies": _short(math.exp(median(ratios)))}


def bound_of(halves: Sequence[Half], asked: Asked) -> Roofline | None:
    """Least time of the cell; None where no ceiling was measured."""
    if asked.ceilings is None:
        return None
    return roofline(asked.cost, asked.ceilings, cache=str(halves[0].shared.get("cache", "")), dtype=asked.case.dtype)


def too_fast(figures: Mapping[str, Any], halves: Sequence[Half], asked: Asked) -> str | None:
    """Why the time in ``figures`` cannot be; None where it can, or where nothing is known of the device."""
    bound = bound_of(halves, asked)
    return None if bound is None else implausible(figures["median_ns"], bound)


def with_memory(figures: Mapping[str, Any], alone: Mapping[str, Any]) -> dict[str, Any]:
    """``figures`` and those taken ``alone``, with what the peak holds beside the results; none where it is unknown."""
    found = {**figures, **alone}
    if "peak_bytes" in found:
        found["scratch_bytes"] = max(0, found["peak_bytes"] - found["result_bytes"])
    return found


def without_speed(figures: Mapping[str, Any]) -> dict[str, Any]:
    """``figures`` of a pass that is no like for like: the time stays, the ratio to the baseline goes."""
    ratio = ("speedup", "speedup_low", "speedup_high", "speedup_halves", "sigma", "detectable_slowdown")
    return {**{k: v for k, v in figures.items() if k not in ratio}, "verdict": "not compared"}


def _summary(name: str, halves: Sequence[Half], asked: Asked) -> RatioSummary | None:
    if name == asked.baseline:
        return None
    logs = [log_ratios(half.per_call_ns(asked.baseline), half.per_call_ns(name)) for half in halves]
    return summarise_logs(logs, confidence=asked.confidence)


def _baseline(halves: Sequence[Half], asked: Asked) -> dict[str, Any]:
    converged = all(half.shared.get("converged", False) for half in halves)
    return {"speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0, "verdict": "baseline", "converged": converged}


def _ratio(summary: RatioSummary) -> dict[str, Any]:
    return {
        "speedup": _short(summary.speedup),
        "speedup_low": _short(summary.low),
        "speedup_high": _short(summary.high),
        "speedup_halves": [_short(value) for value in summary.halves],
        "verdict": summary.verdict,
        "sigma": _short(summary.sigma),
        "detectable_slowdown": _short(summary.detectable),
    }


def _shared(halves: Sequence[Half]) -> dict[str, Any]:
    """Facts of the whole cell: the first half's where both agree, sums of seconds, the worst of what disturbs."""
    first = halves[0].shared
    kept = {
        key: first[key] for key in ("cache", "cache_reason", "threads", "cuda_graph", "copy_reason") if key in first
    }
    seconds = {
        out: round(sum(half.shared.get(key, 0.0) for half in halves), 4)
        for out, key in (
            ("seconds", "seconds"), ("preparing_seconds", "preparing"), ("sampling_seconds", "sampling"),
            ("sampled_seconds", "clocked"),
        )
    }  # fmt: skip
    return {
        **kept, **seconds, "converged": all(half.shared.get("converged", False) for half in halves),
        "discarded_rounds": sum(half.shared.get("discarded_rounds", 0) for half in halves),
        "steal_share": max(half.shared.get("steal_share", 0.0) for half in halves),
    }  # fmt: skip


def _arm(name: str, halves: Sequence[Half]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    readings = [half.arms.get(name, {}) for half in halves]
    for key in (
        "page_faults_per_call", "cpu_wall_ratio", "starved_share", "host_ns", "first_timed_call_ns",
    ):  # fmt: skip
        values = [reading[key] for reading in readings if key in reading]
        if values:
            found[key] = max(values) if key == "starved_share" else round(median(values), 4)
    for key in ("compiled_graphs", "writes_inputs"):
        if key in readings[0]:
            found[key] = readings[0][key]
    return found


def _noise(figures: Mapping[str, Any]) -> str:
    """What disturbed the samples of a cell, in words; empty where nothing did."""
    found = []
    if figures.get("starved_share", 0.0) > STARVED_SHARE:
        found.append(f"{figures['starved_share']:.0%} of samples were interrupted")
    if figures.get("steal_share", 0.0) > STOLEN_SHARE:
        found.append(f"the host took {figures['steal_share']:.0%} of the time")
    if figures.get("sigma", 0.0) > WIDE_SIGMA:
        found.append(f"one round's ratio spreads by {figures['sigma']:.0%}")
    if figures.get("discarded_rounds", 0):
        found.append(f"{figures['discarded_rounds']} rounds were left out: others had the processor, or it throttled")
    return "; ".join(found)


def _short(value: float) -> float:
    return float(f"{value:.6g}")
