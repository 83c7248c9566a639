"""Runs as one tidy pandas frame: one row per run, cell and implementation."""

from __future__ import annotations

import gc
import glob
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from harness.core.case import DTYPES, PASSES, REDUCTIONS, Case
from harness.core.errors import RunFolderError
from harness.core.outcome import Outcome
from harness.report.columns import AXES, CHECKS, COLUMNS, STATUS_ORDER, TIMING, TRAINING, Column
from harness.report.machine import speed_doubts
from harness.report.rows import GRADES, Row, collect, number, value_of, weakest
from harness.report.sight import Sight, sight_case, sights_of
from harness.report.text import shape_text
from harness.store import Run, read_run, resolve_run

PathLike = str | os.PathLike[str]
_GRADES = (*GRADES, "none")
_ORDERED = {"dtype": DTYPES, "pass": PASSES, "reduction": REDUCTIONS}
_TIMED = tuple(column for column in TIMING if column.metric and column.metric != "seconds")
_ALONE = ("peak_bytes", "saved_bytes", "first_call_ns")
_BY_METRIC = {column.metric: column for column in _TIMED}
_ALONE_BY_METRIC = {name: _BY_METRIC[name] for name in _ALONE}
_TRAINED_BY_METRIC = {column.metric: column for column in TRAINING}
_JUDGED_BY_METRIC = {**_ALONE_BY_METRIC, **_TRAINED_BY_METRIC}
_NOTHING = {column.name: "" if column.dtype == "text" else None for column in (*_TIMED, *TRAINING)}
_ACCURACY = ("error", "budget", "ratio", "ulp_error", "region", "expected", "found")


def load(paths: PathLike | Iterable[PathLike]) -> pd.DataFrame:
    """The frame of one run folder, of all that match a glob, or of a list of either.

    Columns are those of ``docs/columns.md``. A run that is named twice counts once.
    ``attrs["notices"]`` lists what could not be read, ``attrs["speed_doubts"]`` where no speed can be trusted, as the
    self-check of a run failed.

    Raises:
        RunFolderError: nothing there is a run folder, or one cannot be read.
    """
    # one after the other: the outcomes of a hundred runs take ten times the memory of their rows
    with _without_collection():
        return frame_of(map(read_run, _folders(paths)))


@contextmanager
def _without_collection() -> Iterator[None]:
    """No hunt for reference cycles meanwhile: there are none, and looking for them took a sixth of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def frame_of(runs: Iterable[Run]) -> pd.DataFrame:
    """The frame of runs that were read already."""
    notices: list[str] = []
    doubts: list[str] = []
    records: list[dict[str, Any]] = []
    for run in runs:
        notices += [f"{run.run_id}: {notice}" for notice in run.notices]
        doubts += [f"{run.run_id}: {doubt}" for doubt in speed_doubts(run.header)]
        origin, sights = _provenance(run), sights_of(run.header)
        records += [{**_record(row, notices), **_visible(row.case, sights), **origin} for row in collect(run)]
    extra = dict.fromkeys(name for record in records for name in record["checks"] if name not in CHECKS)
    columns = list(COLUMNS)
    place = [column.name for column in columns].index(f"check_{CHECKS[-1]}") + 1
    columns[place:place] = [Column(name=f"check_{name}", dtype="category", meaning="") for name in extra]
    for record in records:
        checks = record.pop("checks")
        record.update({f"check_{name}": checks.get(name, "not_run") for name in (*CHECKS, *extra)})
    frame = pd.DataFrame({c.name: _series(c, [record[c.name] for record in records]) for c in columns})
    frame.attrs.update(notices=notices, speed_doubts=doubts)
    return frame


def _folders(paths: PathLike | Iterable[PathLike]) -> list[Path]:
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    found: list[Path] = []
    for path in given:
        text = os.fspath(path)
        if not glob.has_magic(text) or Path(text).exists():
            found.append(resolve_run(text))
            continue
        matches = [match for match in sorted(glob.glob(text)) if (Path(match) / "run.json").is_file()]  # noqa: PTH207
        if not matches:
            raise RunFolderError(f"no run folder matches {text}")
        found += [resolve_run(match) for match in matches]
    if not found:
        raise RunFolderError("no run folder was named")
    return list(dict.fromkeys(found))


def _record(row: Row, notices: list[str]) -> dict[str, Any]:
    timed = row.timed
    judged = next((o for o in row.judged if o.metrics.get("reproduce")), None)
    record: dict[str, Any] = {
        **_NOTHING, "run_id": row.run_id, "cell": row.cell, "implementation": row.implementation, **_axes(row.case),
        "status": row.status.value, "reason": row.reason, "grade": row.grade or "none",
        "checks": {name: status.value for name, status in row.checks.items()},
        "timing_status": timed.status.value if timed else "not_run",
        "timing_reason": timed.reason if timed else "no timing was asked for, or the run ended before it",
        "judged_seconds": sum((number(o.metrics, "seconds") or 0.0) for o in row.judged) if row.judged else None,
        "timed_seconds": _value(timed, "seconds", "float", row, notices),
        "reproduce": str(judged.metrics["reproduce"]) if judged else "",
    }  # fmt: skip
    for outcome, wanted in ((timed, _BY_METRIC), *((outcome, _JUDGED_BY_METRIC) for outcome in reversed(row.judged))):
        # memory and first call are measured while judging, so that a row which is not timed may have them too
        for metric, value in outcome.metrics.items() if outcome is not None else ():
            if metric in wanted:
                record[wanted[metric].name] = _checked(value, metric, wanted[metric].dtype, row, notices)
    for value in ("loss", "gradient"):
        outcome = row.accuracy(value)
        for name in _ACCURACY:
            record[f"{value}_{name}"] = _value(outcome, name, "text" if name == "region" else "float", row, notices)
        record[f"{value}_grade"] = (
            weakest(str(o.metrics.get("grade")) for o in row.judged if value_of(o) == value) or "none"
        )
    return record


def _value(outcome: Outcome | None, name: str, dtype: str, row: Row, notices: list[str]) -> Any:
    return _checked(None if outcome is None else outcome.metrics.get(name), name, dtype, row, notices)


def _checked(value: Any, name: str, dtype: str, row: Row, notices: list[str]) -> Any:
    """``value`` as the column has it; of another kind, it is left out with a notice."""
    if type(value) is float and dtype == "float":
        return value
    empty = "" if dtype == "text" else None
    if value is None:
        return empty
    if dtype == "text":
        return str(value)
    is_bool, is_number = isinstance(value, bool), isinstance(value, int | float)
    if dtype == "bool" and is_bool:
        return value
    if dtype == "float" and is_number and not is_bool:
        return float(value)
    if dtype == "int" and is_number and not is_bool and abs(value) < 2**63:
        return round(value)
    notices.append(f"{row.run_id}: {name} of {row.implementation} on {row.cell} is no {dtype}; it was left out")
    return empty


def _axes(case: Case) -> dict[str, Any]:
    names = ("loss", "batch", "classes", "features", "dtype", "device", "regime", "reduction", "target", "ignored",
             "weight", "ignore_index", "label_smoothing", "layout", "grad_output", "seed")  # fmt: skip
    values: dict[str, Any] = {name: getattr(case, name) for name in names}
    values["dims"] = "x".join(map(str, case.dims))
    values["shape"] = shape_text(case)
    values["pass"] = case.pass_
    values["options"] = json.dumps(dict(case.options), sort_keys=True) if case.options else ""
    return values


def _visible(case: Case, sights: Mapping[str, Sight]) -> dict[str, Any]:
    sight = sights.get(sight_case(case).cell, Sight())
    return {"loss_visible": sight.loss, "gradient_visible": sight.gradient, "value_only": sight.value_only}


def _provenance(run: Run) -> dict[str, str]:
    header = run.header
    suite, environment = header.get("suite"), header.get("environment")
    packages = environment.get("packages") if isinstance(environment, Mapping) else None
    return {
        "suite": str(suite.get("name", "") if isinstance(suite, Mapping) else suite or ""),
        "started": str(header.get("started") or ""),
        "git_revision": str(header.get("git_revision") or ""),
        "torch_version": str(packages.get("torch") or "") if isinstance(packages, Mapping) else "",
        "run_path": str(run.path),
    }


def _series(column: Column, values: list[Any]) -> pd.Series:
    if column.dtype == "category":
        return pd.Series(_categorical(column.name, values))
    if column.dtype == "float":
        return pd.Series([math.nan if value is None else value for value in values], dtype="float64")
    whole = "int64" if column in AXES else "Int64"
    return pd.Series(values, dtype={"int": whole, "bool": "boolean", "text": "str"}[column.dtype])


def _categorical(name: str, values: list[str]) -> pd.Categorical:
    if name in ("status", "timing_status") or name.startswith("check_"):
        return pd.Categorical(values, categories=list(STATUS_ORDER), ordered=True)
    if name == "grade" or name.endswith("_grade"):
        return pd.Categorical(values, categories=list(_GRADES), ordered=True)
    known = _ORDERED.get(name, ())
    categories = [*known, *sorted(set(values) - set(known))]
    return pd.Categorical(values, categories=categories, ordered=name in _ORDERED)
