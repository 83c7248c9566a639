"""Sections of the page that its script fills from the figures it carries: choice, accuracy, heat maps, time, memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.report.machine import speed_doubts
from harness.report.markup import Html, el

_SECTIONS = (
    (
        "choose",
        "Which one to use",
        "The fastest implementation per shape that is right in every regime shown and keeps the limits. It stands for "
        "a shape with its slowest regime and its largest peak and error. As fast: measurement does not tell them "
        "apart. Pareto: nobody is both faster and leaner.",
    ),
    (
        "accuracy",
        "Accuracy",
        "The largest error against the oracle, in units in the last place of the dtype, by region of the result. The "
        "line is the budget, the smallest of the cells behind a point; the band reaches to the largest. A ring marks "
        "what is at fault; what differs as declared has none.",
    ),
    (
        "heat",
        "Speedup by batch and classes",
        "Geometric mean of the speedup over the cells shown. Blue is faster than the baseline, orange slower; the "
        "figure stands in each tile.",
    ),
    (
        "time",
        "Time and bandwidth against classes",
        "Median time of one call with its interval. Dashed: the floor, the least possible time at the bandwidth "
        "measured in this run. Below, the least traffic over that time; dashed there: the ceiling, the bandwidth "
        "measured.",
    ),
    (
        "pareto",
        "Memory against time",
        "Peak memory above the inputs against the median time, for one shape. The line joins those that nobody beats "
        "in both.",
    ),
    (
        "first",
        "First call",
        "Median over the cells shown of the first call in a fresh process, compilation included.",
    ),
)  # fmt: skip


#: Those that show speeds.
_SPEEDS = frozenset({"choose", "heat", "time", "pareto"})


def chart_sections(header: Mapping[str, Any]) -> dict[str, Html]:
    """Anchor → section with its explanation and an empty figure for the script; ``header`` is that of the run."""
    doubts = speed_doubts(header)
    return {
        anchor: _section(anchor, title, note, doubts if anchor in _SPEEDS else ()) for anchor, title, note in _SECTIONS
    }


def ceilings_of(header: Mapping[str, Any]) -> dict[str, float]:
    """Device → bandwidth measured in this run, bytes/s, as far as its header tells."""
    found: dict[str, float] = {}
    measured = header.get("ceilings")
    for device, figures in measured.items() if isinstance(measured, Mapping) else ():
        memory = figures.get("memory") if isinstance(figures, Mapping) else None
        best = memory.get("best") if isinstance(memory, Mapping) else None
        if isinstance(best, int | float) and not isinstance(best, bool) and 0 < best < float("inf"):
            found[str(device)] = float(best)
    return found


def _section(anchor: str, title: str, note: str, doubts: tuple[str, ...]) -> Html:
    controls = {"choose": _limits, "pareto": _shape_box, "accuracy": _regime_box}.get(anchor)
    return el(
        "section",
        el("h2", title),
        el("p", note),
        *(el("p", el("strong", doubt)) for doubt in doubts),
        controls() if controls else None,
        el("noscript", el("p", "This figure needs scripts; the tables on this page do not.", class_="dim")),
        el("div", class_="figure", data_chart=anchor),
        id=anchor,
    )


def _limits() -> Html:
    memory = el("label", "largest peak, MiB ", el("input", type="number", min="0", step="any", id="limit-memory"))
    error = el("label", "largest error, ulp ", el("input", type="number", min="0", step="any", id="limit-ulp"))
    return el("form", memory, error, class_="limits", aria_label="Limits")


def _shape_box() -> Html:
    return el("form", el("label", "shape ", el("select", id="pareto-shape")), class_="limits", aria_label="Shape")


def _regime_box() -> Html:
    return el("form", el("label", "regime ", el("select", id="accuracy-regime")), class_="limits", aria_label="Regime")
