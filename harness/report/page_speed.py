"""Sections of the page on cost: speed table, speed chart, memory and first call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from harness.core.case import Case
from harness.report import tables
from harness.report.markup import Html, el, join
from harness.report.memory import memory_lines
from harness.report.rows import Row
from harness.report.text import COPY_LEGEND, duration, extras_text, median_speedup, shape_text, share, size, speedup

Mark = Callable[..., str]
_SHAPES = 6
_COLOURS = 8


def speed_section(groups: Sequence[tables.Group], names: Sequence[str], mark: Mark) -> Html:
    """One table per device and pass: time of the baseline, speedup of the others with its interval."""
    if not groups:
        return el("section", el("h2", "Speed"), el("p", "Nothing was timed in this run."), id="speed")
    parts = []
    for group in groups:
        shown = [name for name in names if any(name in line.rows for line in group.lines)]
        copy = ["copy"] if group.has_copy else []
        head = el("tr", [el("th", title, scope="col") for title in ("shape", "dtype", "regime", *copy, *shown)])
        body = [
            el("tr", _label(line.case), [_copy(line) for _ in copy], [_cell(line, name) for name in shown],
               data_f=mark(line.case))
            for line in group.lines
        ]  # fmt: skip
        table = el("table", el("thead", head), el("tbody", body))
        parts.append(el("div", el("h3", group.title), _doubt(group), el("div", table, class_="scroll"), class_="group"))
    note = (
        "Speedup is the baseline's time ÷ this one's, from rounds that interleave all of them; below it, its interval "
        "and the median time of one call. Bold: nobody is measurably faster. † differs from torch, as declared. "
        f"Not compared: its forward makes the gradient. {COPY_LEGEND.capitalize()}. "
        "Speed is shown only where the answer is right."
    )
    return el("section", el("h2", "Speed"), el("p", note), parts, id="speed")


def _label(case: Case) -> list[Html]:
    regime = " ".join(filter(None, (case.regime, extras_text(case))))
    return [el("th", shape_text(case), scope="row"), el("td", case.dtype), el("td", regime)]


def _copy(line: tables.Line) -> Html:
    time = line.baseline.metric("copy_ns") if line.baseline is not None else None
    return el("td", median_speedup(line.copy), el("small", duration(time)), class_="n dim")


def _cell(line: tables.Line, name: str) -> Html:
    row = line.rows.get(name)
    if row is None or not row.is_timed:
        found = tables.word(row)
        return el(
            "td",
            found,
            class_="n dim",
            title=row.reason or (row.timed.reason if row.timed else "") or None if row else None,
        )
    mark, best = ("†" if row.is_declared else ""), ("best" if name in line.best else "")
    time = duration(row.metric("median_ns"))
    if row.is_baseline:
        return el("td", el("span", time + mark, class_=best), class_="n")
    ratio = speedup(row.metric("speedup"), None, None)
    return el("td", el("span", ratio + mark, class_=best), el("small", f"{_interval(row)} · {time}"), class_="n")


def _interval(row: Row) -> str:
    low, high = row.metric("speedup_low"), row.metric("speedup_high")
    places = 2 if (high or 0.0) < 10 else 1 if (high or 0.0) < 100 else 0
    if low is None or high is None or not math.isfinite(high - low):
        return "no interval"
    return f"{low:.{places}f}–{high:.{places}f}"


def _doubt(group: tables.Group) -> Html | None:
    return el("p", el("strong", group.doubt)) if group.doubt else None


def chart_section(groups: Sequence[tables.Group], names: Sequence[str], mark: Mark) -> Html | None:
    """One strip per cell on a common logarithmic axis of speedup: a marker per implementation over its interval."""
    values = [
        v
        for g in groups
        for line in g.lines
        for row in line.rows.values()
        if row.is_timed and (v := _positive(row, "speedup"))
    ]
    if not values:
        return None
    low = max(-6, math.floor(math.log2(min(*values, 0.5))))
    high = min(6, math.ceil(math.log2(max(*values, 2.0))))
    ticks = [2.0**power for power in range(low, high + 1)]
    timed = {
        row.implementation for group in groups for line in group.lines for row in line.rows.values() if row.is_timed
    }
    legend = [el("li", _icon(place), name) for place, name in enumerate(names) if name in timed]
    parts: list[Html] = [_symbols(), el("ul", legend, class_="legend")]
    for group in groups:
        strips = [_strip(line, names, (low, high), mark) for line in group.lines]
        axis = el(
            "div",
            el("span"),
            el("svg", [_tick(t, (low, high)) for t in ticks], class_="axis", aria_hidden="true"),
            class_="strip axis",
        )
        parts.append(el("div", el("h3", group.title), _doubt(group), axis, strips, class_="group"))
    note = "Speedup over the baseline (the line at 1×), logarithmic: right is faster. A marker's bar is its interval."
    return el("section", el("h2", "Speed chart"), el("p", note), parts, id="chart")


def _positive(row: Row, name: str) -> float | None:
    value = row.metric(name)
    return value if value is not None and math.isfinite(value) and value > 0 else None


def _at(value: float, span: tuple[int, int]) -> str:
    share = (math.log2(value) - span[0]) / (span[1] - span[0])
    return f"{3 + 94 * min(1.0, max(0.0, share)):.2f}%"


def _tick(value: float, span: tuple[int, int]) -> Html:
    return el("text", f"{value:g}×", x=_at(value, span), y=12, text_anchor="middle")


@lru_cache(maxsize=8)
def _grid(span: tuple[int, int]) -> Html:
    """The lines behind a strip: the same for every one, and a page has thousands."""
    lines = [
        el("line", x1=_at(2.0**p, span), x2=_at(2.0**p, span), y1=0, y2=22, class_="one" if p == 0 else "grid")
        for p in range(span[0], span[1] + 1)
    ]
    return join(lines)


def _strip(line: tables.Line, names: Sequence[str], span: tuple[int, int], mark: Mark) -> Html:
    marks, told = [_grid(span)], []
    for place, name in enumerate(names):
        row = line.rows.get(name)
        value = _positive(row, "speedup") if row is not None and row.is_timed else None
        if row is None or value is None:
            continue
        told.append(f"{name} {value:.2f}×")
        low, high = _positive(row, "speedup_low") or value, _positive(row, "speedup_high") or value
        title = el(
            "title", f"{name}: {speedup(value, None, None)} ({_interval(row)}), {duration(row.metric('median_ns'))}"
        )
        bar = el("line", x1=_at(low, span), x2=_at(high, span), y1=11, y2=11)
        icon = el("use", href=f"#m{place % _SHAPES}", x=_at(value, span), y=11)
        marks.append(el("g", title, bar, icon, class_=f"k{place % _COLOURS}"))
    label = " ".join(filter(None, (shape_text(line.case), line.case.dtype, line.case.regime, extras_text(line.case))))
    svg = el("svg", marks, role="img", aria_label=", ".join(told))
    return el("div", el("span", label), svg, class_="strip", data_f=mark(line.case))


def _icon(place: int) -> Html:
    use = el("use", href=f"#m{place % _SHAPES}", x=8, y=8)
    return el("svg", use, width=16, height=16, class_=f"k{place % _COLOURS}", aria_hidden="true")


def _symbols() -> Html:
    paths = (
        "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0", "M-4,-4h8v8h-8z", "M0,-5.5L5.5,0L0,5.5L-5.5,0z",
        "M0,-5L5,4H-5z", "M0,5L5,-4H-5z", "M-5,-2h3v-3h4v3h3v4h-3v3h-4v-3h-3z",
    )  # fmt: skip
    shapes = [el("symbol", el("path", d=path), id=f"m{place}", overflow="visible") for place, path in enumerate(paths)]
    return el("svg", shapes, width=0, height=0, class_="symbols", aria_hidden="true")


def memory_section(groups: Sequence[tables.Group], names: Sequence[str], mark: Mark) -> Html | None:
    """Peak memory above the inputs and first call, per shape, dtype, device and pass."""
    lines = memory_lines(groups)
    if not lines:
        return None
    shown = [name for name in names if any(name in line.peak_bytes or name in line.first_call_ns for line in lines)]
    sample = groups[0].lines[0].case
    body = []
    for line in lines:
        case = replace(sample, loss=line.loss, device=line.device, pass_=line.pass_, dtype=line.dtype)
        cells = [
            el(
                "td",
                size(line.peak_bytes.get(name)),
                el("small", f"{duration(line.first_call_ns.get(name))} · {share(line.roofline_fraction.get(name))}"),
                class_="n",
            )
            for name in shown
        ]
        label = [
            el("th", line.shape, scope="row"),
            *(el("td", value) for value in (line.dtype, line.title, size(line.results))),
        ]
        body.append(el("tr", label, cells, data_f=mark(case, any_regime=True)))
    head = el("tr", [el("th", title, scope="col") for title in ("shape", "dtype", "where", "results", *shown)])
    note = (
        "Results: what loss and gradients take themselves. Peak memory above the inputs, they included, measured where "
        "the implementation was alone, and below it the first call in a fresh process, compilation included, and the "
        "roofline fraction: least possible time ÷ median time. The worst over regimes and options."
    )
    table = el("table", el("thead", head), el("tbody", body))
    return el(
        "section",
        el("h2", "Memory, first call and roofline"),
        el("p", note),
        el("div", table, class_="scroll"),
        id="memory",
    )
