"""Which implementation to use: winners per shape under limits, crossovers, Pareto sets, the largest batch that fits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from harness.core.case import INTERPRETER
from harness.core.status import ADMITTED
from harness.report.analysis import Printed, by_size

_ADMITTED = {status.value for status in ADMITTED}
#: What is decided about at a time: everything but regime, options and seed, over which a winner must hold.
GROUP = ["loss", "device", "pass", "dtype", "features", "dims", "classes", "batch", "shape"]
#: What is alike in cells whose batch and classes alone are compared.
_PLACE = ["loss", "device", "pass", "dtype", "features", "dims"]
#: Sizes that ``shape`` tells already, left out of what is handed back.
_SIZES = ["features", "dims", "classes", "batch"]
#: Said in ``as_fast`` where too few rounds gave the winner no interval.
NO_INTERVAL = "not told (too few rounds)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a choice must keep: bytes above the inputs, error in units in the last place, one pass (None: any)."""

    max_memory_bytes: int | None = None
    max_ulp: float | None = None
    pass_: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Frames that answer "which one should I use here".

    ``candidates`` has one row per shape and implementation, with ``excluded`` saying why it is out (empty: it is in)
    and ``pareto`` whether nothing else in is both faster and leaner. ``winners`` has one row per shape; ``crossovers``
    one per pair of neighbouring sizes between which the winner changes; ``largest`` the largest batch that keeps the
    memory limit.
    """

    candidates: pd.DataFrame
    winners: pd.DataFrame
    crossovers: pd.DataFrame
    largest: pd.DataFrame


def choose(
    frame: pd.DataFrame, *, max_memory_bytes: int | None = None, max_ulp: float | None = None, pass_: str | None = None
) -> Choice:
    """The choice that ``frame`` supports under these limits.

    Args:
        frame: from ``harness.load``.
        max_memory_bytes: largest peak above the inputs; rows without that figure are out.
        max_ulp: largest error of loss and gradient, in units in the last place; rows not judged so are out.
        pass_: look at this pass alone.

    An implementation stands for a shape with its slowest regime against the baseline, its largest peak and its largest
    error, and is out where any of its answers there was at fault.
    """
    limits = Limits(max_memory_bytes=max_memory_bytes, max_ulp=max_ulp, pass_=pass_)
    candidates = _candidates(frame, limits)
    winners = _winners(candidates)
    return Choice(
        candidates=Printed(candidates.drop(columns=_SIZES)),
        winners=Printed(winners.drop(columns=_SIZES)),
        crossovers=Printed(_crossovers(candidates, winners)),
        largest=Printed(_largest(candidates, limits)),
    )


def _candidates(frame: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    here = frame[frame["device"].astype(str) != INTERPRETER]
    if limits.pass_ is not None:
        here = here[here["pass"].astype(str) == limits.pass_]
    keys = [*GROUP, "implementation"]
    rows = [
        {**dict(zip(keys, key, strict=True)), **_one(group, limits)}
        for key, group in by_size(here).groupby(keys, observed=True)
    ]
    columns = [*keys, "excluded", "median_ns", "speedup", "speedup_low", "peak_bytes", "ulp_error", "pareto"]
    found = pd.DataFrame(rows, columns=columns)
    inside = found["excluded"] == ""
    found["pareto"] = False
    for _, group in found[inside].groupby(GROUP, observed=True):
        found.loc[list(_undominated(group)), "pareto"] = True
    return found


def _one(group: pd.DataFrame, limits: Limits) -> dict[str, Any]:
    """One implementation in one shape, at its worst over regimes and options."""
    timed = group[group["speedup"].notna()]
    slowest = timed.loc[timed["speedup"].idxmin()] if len(timed) else None
    figures = {
        "median_ns": math.nan if slowest is None else float(timed["median_ns"].max()),
        "speedup": math.nan if slowest is None else float(slowest["speedup"]),
        "speedup_low": math.nan if slowest is None else float(slowest["speedup_low"]),
        "peak_bytes": _largest_of(group, ["peak_bytes"]),
        "ulp_error": _largest_of(group, ["loss_ulp_error", "gradient_ulp_error"]),
    }
    return {**figures, "excluded": _excluded(group, timed, figures, limits)}


def _largest_of(group: pd.DataFrame, names: Sequence[str]) -> float:
    values = [float(value) for name in names for value in group[name].dropna()]
    return max(values, default=math.nan)


def _excluded(group: pd.DataFrame, timed: pd.DataFrame, figures: dict[str, float], limits: Limits) -> str:
    wrong = group[~group["status"].astype(str).isin(_ADMITTED)]
    if len(wrong):
        row = wrong.iloc[0]
        return f"{row['status']} at {row['regime']}"
    if not len(timed):
        return "not timed"
    if limits.max_memory_bytes is not None and not figures["peak_bytes"] <= limits.max_memory_bytes:
        return "memory not measured" if math.isnan(figures["peak_bytes"]) else "over the memory limit"
    if limits.max_ulp is not None and not figures["ulp_error"] <= limits.max_ulp:
        return "error not measured" if math.isnan(figures["ulp_error"]) else "over the error limit"
    return ""


def _undominated(group: pd.DataFrame) -> Iterator[Any]:
    """Places of the rows that no other row beats in one of time and memory without losing in the other."""
    points = [(place, -row["speedup"], row["peak_bytes"]) for place, row in group.iterrows()]
    for place, time, memory in points:
        beaten = any(
            other != place and t <= time and not m > memory and (t < time or m < memory) for other, t, m in points
        )
        if not beaten:
            yield place


def _winners(candidates: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for key, group in candidates.groupby(GROUP, observed=True):
        inside = group[group["excluded"] == ""].sort_values("speedup", ascending=False)
        row = {**dict(zip(GROUP, key, strict=True)), "winner": "none", "as_fast": "", "pareto": ""}
        if len(inside):
            best = inside.iloc[0]
            row |= {
                "winner": str(best["implementation"]), "as_fast": _tied(inside, best),
                "speedup": round(best["speedup"], 3), "median_ns": best["median_ns"],
                "peak_bytes": best["peak_bytes"], "ulp_error": best["ulp_error"],
                "pareto": ", ".join(inside[inside["pareto"]]["implementation"].astype(str)),
            }  # fmt: skip
        rows.append(row)
    columns = [*GROUP, "winner", "as_fast", "speedup", "median_ns", "peak_bytes", "ulp_error", "pareto"]
    return pd.DataFrame(rows, columns=columns)


def _tied(inside: pd.DataFrame, best: pd.Series) -> str:
    """Those that the interval of the leader reaches down to: measurement does not tell them apart."""
    if len(inside) > 1 and not best["speedup_low"] > 0:
        return NO_INTERVAL
    return ", ".join(inside[inside["speedup"] >= best["speedup_low"]]["implementation"].astype(str)[1:])


def _crossovers(candidates: pd.DataFrame, winners: pd.DataFrame) -> pd.DataFrame:
    """Where the winner changes along classes (batch fixed) and along batch (classes fixed), by interpolation."""
    rows = []
    for axis, fixed in (("classes", "batch"), ("batch", "classes")):
        won = winners[winners["winner"] != "none"]
        for key, group in won.groupby([*_PLACE, fixed], observed=True):
            ordered = group.sort_values(axis).drop_duplicates(axis).to_dict("records")
            for here, there in pairwise(ordered):
                if here["winner"] != there["winner"]:
                    ends = (here["winner"], there["winner"], here[axis], there[axis])
                    crossing = _crossing(candidates, here, there, axis)
                    rows.append((*key[:4], _at(fixed, key), axis, *ends, crossing))
    columns = ["loss", "device", "pass", "dtype", "at", "axis", "below", "above", "from", "to", "crossover"]
    return pd.DataFrame(rows, columns=columns)


def _at(fixed: str, key: tuple[Any, ...]) -> str:
    """The sizes that stay the same along a crossover."""
    told = [f"{fixed} {key[6]}", *([f"features {key[4]}"] if key[4] else []), *([f"dims {key[5]}"] if key[5] else [])]
    return ", ".join(told)


def _crossing(candidates: pd.DataFrame, here: dict[str, Any], there: dict[str, Any], axis: str) -> float:
    """The size at which both are equally fast, straight in logarithms; NaN where one was not timed at both ends."""

    def lead(end: dict[str, Any]) -> float:
        rows = candidates
        for name in GROUP:
            rows = rows[rows[name] == end[name]]
        speed = rows.set_index(rows["implementation"].astype(str))["speedup"]
        first, second = speed.get(here["winner"], math.nan), speed.get(there["winner"], math.nan)
        return math.log(first / second) if first > 0 and second > 0 else math.nan

    low, high = lead(here), lead(there)
    if not (low > 0 > high):
        return math.nan
    share = low / (low - high)
    return float(f"{math.exp(math.log(here[axis]) + share * math.log(there[axis] / here[axis])):.2g}")


def _largest(candidates: pd.DataFrame, limits: Limits) -> pd.DataFrame:
    """The largest batch whose peak keeps the limit, if the peak grows with the batch as at the largest measured."""
    columns = [*_PLACE, "classes", "implementation", "peak_bytes_per_row", "largest_batch"]
    if limits.max_memory_bytes is None:
        return pd.DataFrame(columns=columns).drop(columns=["dims"])
    rows = []
    measured = candidates[candidates["peak_bytes"] > 0]
    for key, group in measured.groupby([*_PLACE, "classes", "implementation"], observed=True):
        last = group.loc[group["batch"].idxmax()]
        per_row = last["peak_bytes"] / last["batch"]
        rows.append((*key[:7], str(key[7]), round(per_row, 1), int(limits.max_memory_bytes // per_row)))
    return pd.DataFrame(rows, columns=columns).drop(columns=["dims"])
