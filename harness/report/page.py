"""``report.html``: one file that opens from disk without a network; filters, light and dark, readable on a phone."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from harness.core.case import DTYPES, PASSES, Case
from harness.core.status import FAULTS, Status
from harness.report import tables
from harness.report.machine import in_one_line
from harness.report.markup import Html, data, el
from harness.report.page_charts import ceilings_of, chart_sections
from harness.report.page_data import chart_data
from harness.report.page_observed import observed_section
from harness.report.page_semantics import noise_section, semantics_section
from harness.report.page_sight import sight_section
from harness.report.page_speed import chart_section, memory_section, speed_section
from harness.report.page_training import training_section
from harness.report.page_verdicts import (
    declared_section,
    environment_section,
    faults_section,
    matrix_section,
    stability_section,
)
from harness.report.rows import GRADES, Row, collect, implementations, losses_of
from harness.report.text import count, median_speedup
from harness.store import Run

_STATUSES = tuple(Status)
_SCRIPTS = ("core.js", "charts.js", "choose.js", "page.js")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facets:
    """What the page filters by: the values that occur on each axis, in their order."""

    loss: tuple[str, ...]
    device: tuple[str, ...]
    dtype: tuple[str, ...]
    pass_: tuple[str, ...]
    regime: tuple[str, ...]

    def mark(self, case: Case, *, any_regime: bool = False) -> str:
        """Places of the values of ``case``, for the filter script; ``*`` matches every regime."""
        places = (
            self.loss.index(case.loss), self.device.index(case.device), self.dtype.index(case.dtype),
            self.pass_.index(case.pass_),
        )  # fmt: skip
        return " ".join(map(str, places)) + (" *" if any_regime else f" {self.regime.index(case.regime)}")


def report_page(run: Run) -> str:
    """The page of ``run`` as one HTML document; every text of the run is escaped."""
    rows = collect(run)
    facets = _facets(rows)
    script = "".join(_asset(name) for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; base-uri 'none'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{suite_name(run)} · {run.run_id} · loss harness"),
        el("style", Html(_asset("page.css"))),
    )
    names, groups = implementations(rows), tables.speed_groups(rows, run.header)
    main = el("main", _sections(run, rows, names, groups, facets))
    figures = chart_data(rows, names, facets.mark, ceilings_of(run.header))
    figures["facets"] = [facets.loss, facets.device, facets.dtype, facets.pass_, facets.regime]
    carried = [
        el("script", data(content), type="application/json", id=name)
        for name, content in (("tally", _tally(rows, names, facets)), ("figures", figures))
    ]
    top = el("a", "Skip to the results", href="#matrix", class_="skip")
    body = el(
        "body", top, _header(run, rows), _summary(rows, groups), _filters(facets), main, carried,
        el("script", Html(script)),
    )  # fmt: skip
    return "<!doctype html>\n" + el("html", head, body, lang="en") + "\n"


def _sections(
    run: Run, rows: Sequence[Row], names: Sequence[str], groups: Sequence[tables.Group], facets: Facets
) -> list[Html | None]:
    charts = chart_sections(run.header)
    return [
        el("div", matrix_section(rows, names), stability_section(rows, names), class_="pair"),
        faults_section(rows, facets.mark),
        semantics_section(rows, names),
        observed_section(run),
        sight_section(run),
        charts["accuracy"],
        charts["choose"],
        speed_section(groups, names, facets.mark),
        charts["heat"],
        chart_section(groups, names, facets.mark),
        charts["time"],
        charts["pareto"],
        memory_section(groups, names, facets.mark),
        charts["first"],
        training_section(rows),
        declared_section(rows, facets.mark),
        noise_section(run, rows),
        environment_section(run),
    ]


def suite_name(run: Run) -> str:
    """Name of the suite that was run."""
    suite = run.header.get("suite")
    return str(suite.get("name", "run") if isinstance(suite, Mapping) else suite or "run")


def _asset(name: str) -> str:
    return files("harness.report").joinpath("assets", name).read_text(encoding="utf-8")


def _facets(rows: Sequence[Row]) -> Facets:
    cases = [row.case for row in rows]
    return Facets(
        loss=tuple(sorted({case.loss for case in cases})),
        device=tuple(sorted({case.device for case in cases})),
        dtype=_ordered({case.dtype for case in cases}, DTYPES),
        pass_=_ordered({case.pass_ for case in cases}, PASSES),
        regime=tuple(sorted({case.regime for case in cases})),
    )


def _ordered(found: set[str], order: Sequence[str]) -> tuple[str, ...]:
    return (*(value for value in order if value in found), *sorted(found - set(order)))


def _header(run: Run, rows: Sequence[Row]) -> Html:
    header = run.header
    cells, at_fault = len({row.case for row in rows}), sum(row.status in FAULTS for row in rows)
    state = "" if header.get("ended") else " This run has not ended, or was killed: what it wrote until then is here."
    verdict = f"{at_fault} of {count(len(rows), 'row')} at fault." if at_fault else "Nothing at fault."
    notes = header.get("notes")
    listed = [*(notes if isinstance(notes, list) else []), *run.notices]
    return el(
        "header",
        el("p", "loss harness", class_="kicker"),
        el("h1", suite_name(run)),
        el("p", f"{count(cells, 'cell')} × {count(len(implementations(rows)), 'implementation')}, {run.run_id}. ",
           el("strong", verdict, class_="bad" if at_fault else "ok"), state, class_="lede"),
        el("p", in_one_line(header), class_="machine"),
        _notes(listed, shown=bool(state or run.notices)),
    )  # fmt: skip


def _notes(listed: Sequence[Any], *, shown: bool) -> Html | None:
    """Notes on the run, folded away unless its files are not whole."""
    if not listed:
        return None
    items = [el("li", str(note)) for note in listed]
    return el("details", el("summary", count(len(listed), "note")), el("ul", items), class_="notes", open=shown)


def _summary(rows: Sequence[Row], groups: Sequence[tables.Group]) -> Html:
    losses = losses_of(rows)
    several = ("loss",) if len(set(losses.values())) > 1 else ()
    grades = (f"grade {grade}" for grade in GRADES)
    columns = ("implementation", *several, "cells", "median speedup", "fastest in", *grades)
    head = el("tr", [el("th", title, scope="col") for title in columns])
    body = []
    for item in tables.summaries(rows, groups):
        ratio = "baseline" if item.is_baseline else median_speedup(item.median_speedup)
        statuses: list[Any] = []
        for status, number in item.statuses.items():
            statuses += [" " if statuses else "", el("span", f"{number} {status.value}", class_=f"chip {kind(status)}")]
        cells = [el("td", losses.get(item.implementation, "–"))] if several else []
        cells += [el("td", statuses), el("td", ratio, class_="n")]
        cells.append(el("td", f"{item.fastest} of {item.timed}" if item.timed else "–", class_="n"))
        cells += [el("td", item.grades[grade], class_="n") for grade in GRADES]
        body.append(el("tr", el("th", item.implementation, scope="row"), cells))
    caption = (
        "A row is one cell and implementation. Fastest in: nobody was measurably faster. "
        "Grade: the strictest that every value of a row earned."
    )
    table = el(
        "table", el("caption", caption), el("thead", head), el("tbody", body), class_="wide" if several else None
    )
    return el("section", el("h2", "Summary"), el("div", table, class_="scroll"), id="summary")


def kind(status: Status) -> str:
    """Which of the four colours a status has."""
    if status in FAULTS:
        return "bad"
    return {Status.PASSED: "ok", Status.DECLARED: "declared"}.get(status, "none")


def _filters(facets: Facets) -> Html:
    boxes = []
    for label, values in (
        ("loss", facets.loss),
        ("device", facets.device),
        ("dtype", facets.dtype),
        ("pass", facets.pass_),
        ("regime", facets.regime),
    ):
        options = [el("option", f"every {label}", value="")]
        options += [el("option", value, value=place) for place, value in enumerate(values)]
        boxes.append(el("label", el("span", label), el("select", options, disabled=len(values) < 2)))
    links = (
        ("matrix", "Correctness"),
        ("stability", "Stability"),
        ("accuracy", "Accuracy"),
        ("choose", "Choose"),
        ("speed", "Speed"),
        ("heat", "Heat map"),
        ("time", "Time"),
        ("pareto", "Memory"),
        ("first", "First call"),
        ("environment", "Environment"),
    )
    nav = el("nav", [el("a", title, href=f"#{anchor}") for anchor, title in links], aria_label="Sections")
    return el("div", nav, el("form", boxes, id="filters", aria_label="Filter what is shown"), class_="bar")


def _tally(rows: Sequence[Row], names: Sequence[str], facets: Facets) -> dict[str, Any]:
    """Counts that the script adds up again when a filter changes: [implementation, check, facets…, status, count]."""
    checks, counts = tables.check_names(rows), Counter[tuple[int, ...]]()
    for row in rows:
        places = tuple(map(int, facets.mark(row.case).split()))
        name = names.index(row.implementation)
        for check, status in row.checks.items():
            counts[(name, checks.index(check), *places, _STATUSES.index(status))] += 1
        if row.judged:
            counts[(name, -1, *places, _STATUSES.index(row.status))] += 1
    kinds = [kind(status) for status in _STATUSES]
    return {
        "statuses": [status.value for status in _STATUSES],
        "kinds": kinds,
        "counts": [[*key, n] for key, n in counts.items()],
    }
