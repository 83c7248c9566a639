"""What the page's charts are drawn from: one column of figures per name, small enough for thousands of cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from harness.core.case import INTERPRETER
from harness.core.outcome import Outcome
from harness.core.status import ADMITTED, FAULTS, Status
from harness.report.rows import Row, number, value_of
from harness.report.text import shape_text

#: Figures of a timing that the charts use, by their short names there.
_TIMED = {
    "time": "median_ns", "speedup": "speedup", "low": "speedup_low", "high": "speedup_high", "floor": "least_ns",
    "bandwidth": "bandwidth_bytes_per_s",
}  # fmt: skip
_ALONE = {"peak": "peak_bytes", "first": "first_call_ns"}


def chart_data(
    rows: Sequence[Row], names: Sequence[str], mark: Callable[[Any], str], ceilings: dict[str, float]
) -> dict[str, Any]:
    """Columns for the charts: ``cells`` (a row each), ``errors`` (an accuracy verdict each), names and ceilings."""
    place = {name: index for index, name in enumerate(names)}
    shown = [row for row in rows if row.case.device != INTERPRETER and (row.timed is not None or row.judged)]
    cells: dict[str, list[Any]] = {
        "name": [place[row.implementation] for row in shown],
        "facets": [mark(row.case) for row in shown],
        "batch": [row.case.batch for row in shown],
        "classes": [row.case.classes for row in shown],
        "shape": [shape_text(row.case) for row in shown],
        "right": [_right(row) for row in shown],
        "base": [int(row.is_baseline) for row in shown],
        "ulp": [_short(_worst_ulp(row)) for row in shown],
    }
    timed = [row.timed.metrics if row.timed is not None and row.is_timed else {} for row in shown]
    for short, metric in _TIMED.items():
        cells[short] = [_short(number(metrics, metric)) for metrics in timed]
    for short, metric in _ALONE.items():
        cells[short] = [_short(_alone(row, metric)) for row in shown]
    errors = _packed(_errors(rows, place, mark))
    return {"names": list(names), "ceilings": ceilings, "cells": _packed(cells), "errors": errors}


def _right(row: Row) -> int:
    """2: answers are right (or differ as declared); 1: not asked or not able; 0: at fault."""
    if row.status in FAULTS:
        return 0
    return 2 if row.status in ADMITTED and any(o.status in ADMITTED for o in row.judged) else 1


def _errors(rows: Sequence[Row], place: dict[str, int], mark: Callable[[Any], str]) -> dict[str, list[Any]]:
    """One entry per implementation, cell and region: error and budget in units in the last place."""
    found: dict[str, list[Any]] = {name: [] for name in ("name", "facets", "classes", "region", "ulp", "budget", "bad")}
    for row in rows:
        for outcome in row.judged:
            ulp = number(outcome.metrics, "ulp_error")
            region = str(outcome.metrics.get("region") or "")
            if ulp is None or not region or not value_of(outcome) or not math.isfinite(ulp):
                continue
            entry = (
                place[row.implementation], mark(row.case), row.case.classes, region, _short(ulp),
                _short(_budget_ulp(outcome, ulp)), int(outcome.status in FAULTS),
            )  # fmt: skip
            for column, value in zip(found.values(), entry, strict=True):
                column.append(value)
    return found


def _budget_ulp(outcome: Outcome, ulp: float) -> float | None:
    """The budget in the unit of the error; None where the error is 0 and has none."""
    ratio = number(outcome.metrics, "ratio")
    return ulp / ratio if ratio and math.isfinite(ratio) and ratio > 0 else None


def _worst_ulp(row: Row) -> float | None:
    found = [number(o.metrics, "ulp_error") for o in row.judged if o.status is not Status.SKIPPED]
    return max((value for value in found if value is not None), default=None)


def _alone(row: Row, name: str) -> float | None:
    """A figure that is measured while judging, so that a row which is not timed may have it too."""
    for outcome in row.judged:
        value = number(outcome.metrics, name)
        if value is not None:
            return value
    return row.metric(name)


def _short(value: float | None) -> float | int | None:
    """Four figures; None for what a chart has no place for."""
    if value is None or not math.isfinite(value):
        return None
    short = float(f"{value:.4g}")
    return int(short) if short == int(short) and abs(short) < 2**53 else short


def _packed(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """Text columns as places in a list of their values: they repeat for every implementation."""
    packed: dict[str, Any] = {}
    for name, values in columns.items():
        if values and all(isinstance(value, str) for value in values):
            known = {value: place for place, value in enumerate(dict.fromkeys(values))}
            packed[name] = {"values": list(known), "places": [known[value] for value in values]}
        else:
            packed[name] = values
    return packed
