"""Frames of a few lines made from the big one: speedups side by side, accuracy at its worst."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from harness.report.columns import AXES
from harness.report.rows import GRADES, weakest
from harness.store import read_header, read_samples, resolve_run

#: Axes that the column ``shape`` stands for.
_SIZES = ("batch", "classes", "features", "dims")
_ALWAYS = ("shape", "dtype")


class Printed(pd.DataFrame):
    """A frame that prints all its columns, and floats with four figures; otherwise an ordinary one."""

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        # what is made of it is an ordinary frame
        return pd.DataFrame

    def __repr__(self) -> str:
        return self.to_string(max_rows=80, max_colwidth=60, float_format=lambda value: f"{value:.4g}", na_rep="–")


def speedup(frame: pd.DataFrame) -> pd.DataFrame:
    """Speedup over the baseline: one row per cell, one column per implementation, the baseline's own time first.

    The index holds shape, dtype and the axes that vary (and ``run_id`` where there are several runs);
    ``baseline_median_ns`` is in ns; NaN stands where nothing was timed, so every figure belongs to a right answer.
    """
    timed = by_size(frame[frame["speedup"].notna()])
    keys = varying_axes(timed)
    table = timed.pivot_table(
        index=keys, columns="implementation", values="speedup", aggfunc="median", observed=True, sort=False
    )
    names = [name for name in timed["implementation"].unique() if name not in set(timed["baseline"])]
    base = timed[timed["implementation"].astype(str) == timed["baseline"]].groupby(keys, observed=True, sort=False)
    table = table.reindex(columns=names).round(2)
    table.columns = pd.Index([str(name) for name in table.columns])
    table.insert(0, "baseline_median_ns", base["median_ns"].median().round().astype("Int64"))
    return Printed(table.sort_index())


def accuracy(frame: pd.DataFrame) -> pd.DataFrame:
    """The worst answer of each implementation and dtype: one row for its loss, one for its gradient.

    Columns: ``cells`` judged, ``ulp_error`` and ``ratio`` (error ÷ budget) at their largest, the weakest ``grade``, and
    the ``region`` and ``cell`` of the largest ratio.
    """
    parts = [_worst(frame, value) for value in ("loss", "gradient")]
    found = pd.concat(parts, ignore_index=True)
    found["dtype"] = pd.Categorical(found["dtype"], categories=frame["dtype"].cat.categories, ordered=True)
    return Printed(found.set_index(["implementation", "dtype", "value"]).sort_index())


def samples_frame(path: str | os.PathLike[str], cell: str | None = None) -> pd.DataFrame:
    """Raw samples of a run: ``cell``, ``implementation``, ``half`` (which process), ``round`` and ``ns`` of one call.

    ``attrs["notices"]`` lists what could not be read.
    """
    notices: list[str] = []
    read_header(resolve_run(path))  # a newer format is refused, as everywhere
    parts = [
        pd.DataFrame(
            {
                "cell": found.cell,
                "implementation": name,
                "half": found.half,
                "round": range(len(values)),
                "ns": [value / found.calls_per_sample.get(name, 1) for value in values],
            }
        )
        for found in read_samples(path, notices)
        if cell is None or found.cell == cell
        for name, values in found.samples_ns.items()
    ]
    columns = ["cell", "implementation", "half", "round", "ns"]
    frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    frame.attrs["notices"] = notices
    return frame


def by_size(frame: pd.DataFrame) -> pd.DataFrame:
    """``frame`` with its shapes ordered by classes and batch, so that 64x10 comes before 1024x10."""
    shapes = frame.sort_values(["classes", "batch", "shape"])["shape"].unique()
    return frame.assign(shape=pd.Categorical(frame["shape"], categories=list(shapes), ordered=True))


def varying_axes(frame: pd.DataFrame, always: Sequence[str] = _ALWAYS) -> list[str]:
    """Names of the axes that tell the cells of ``frame`` apart, ``shape`` and ``dtype`` first."""
    names = [column.name for column in AXES if column.name not in (*_SIZES, *always)]
    found = [*always, *(name for name in names if frame[name].nunique() > 1)]
    return ["run_id", *found] if frame["run_id"].nunique() > 1 else found


def _worst(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    judged = frame[frame[f"{value}_ratio"].notna()]
    rows = []
    for (name, dtype), group in judged.groupby(["implementation", "dtype"], observed=True, sort=False):
        worst = group.loc[group[f"{value}_ratio"].idxmax()]
        grades = [grade for grade in group[f"{value}_grade"].astype(str) if grade in GRADES]
        failed = len(grades) < len(group)
        rows.append(
            {
                "implementation": str(name),
                "dtype": str(dtype),
                "value": value,
                "cells": len(group),
                "ulp_error": round(float(group[f"{value}_ulp_error"].max()), 3),
                "ratio": float(f"{worst[f'{value}_ratio']:.3g}"),
                "grade": "none" if failed else weakest(grades),
                "region": worst[f"{value}_region"],
                "cell": worst["cell"],
            }
        )
    columns = ("implementation", "dtype", "value", "cells", "ulp_error", "ratio", "grade", "region", "cell")
    return pd.DataFrame(rows, columns=list(columns))
