"""Sections of the page on what a loss is asked beside its plain form, and on how quiet the machine was."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.case import Case
from harness.core.status import Status
from harness.report.markup import Html, el
from harness.report.page_verdicts import tile
from harness.report.rows import Row
from harness.report.tables import by_severity
from harness.report.text import plain
from harness.store import Run

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_PLAIN = {"reduction": "mean", "weight": "none", "layout": "contiguous", "grad_output": "one"}


def features(case: Case) -> list[str]:
    """What ``case`` asks beyond logits (N, C), class indices and the mean."""
    found = [f"{name}={getattr(case, name)}" for name, usual in _PLAIN.items() if getattr(case, name) != usual]
    if case.dims:
        found.append(f"{len(case.dims)} trailing sizes")
    if case.target_kind == "probability":
        found.append("probability targets")
    if case.ignored:
        found.append("ignored rows")
    if case.ignore_index != -100:
        found.append("ignore_index")
    if case.label_smoothing:
        found.append("label_smoothing")
    return found


def semantics_section(rows: Sequence[Row], names: Sequence[str]) -> Html | None:
    """Implementation × what is asked beyond the plain form; None where the run asks nothing of the kind."""
    counts: dict[tuple[str, str], Counter[Status]] = {}
    for row in rows:
        for feature in features(row.case) if row.judged else ():
            counts.setdefault((row.implementation, feature), Counter())[row.status] += 1
    columns = sorted({feature for _, feature in counts})
    if not columns:
        return None
    head = el("tr", [el("th", title, scope="col") for title in ("implementation", *columns)])
    body = [
        el("tr", el("th", name, scope="row"), [_tile(counts.get((name, column), {})) for column in columns])
        for name in names
    ]
    caption = (
        "Cells that ask for an option, an unusual layout or a kind of target, by the worst verdict of any check. "
        "– the signature has no such option. Torch's documented behaviour is what is asked; the filters do not apply."
    )
    table = el("table", el("caption", caption), el("thead", head), el("tbody", body), class_="tiles")
    return el("section", el("h2", "Semantics"), el("div", table, class_="scroll"), id="semantics")


def noise_section(run: Run, rows: Sequence[Row]) -> Html | None:
    """How quiet the machine was while it timed: spread, what could be detected, what disturbed the samples."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row.is_timed and not row.is_baseline:
            found.setdefault((row.case.device, row.case.pass_), []).append(row)
    if not found:
        return None
    titles = ("device", "pass", "timings", "spread of a round", "smallest slowdown seen", "not converged", "disturbed")
    head = el("tr", [el("th", title, scope="col") for title in titles])
    body = [
        el("tr", el("th", device, scope="row"), el("td", pass_), [el("td", text, class_="n") for text in _quiet(group)])
        for (device, pass_), group in found.items()
    ]
    note = (
        "Median over the timings: spread of the ratio to the baseline from round to round, and the smallest slowdown "
    )
    note += "that so many rounds could tell from noise."
    table = el("div", el("table", el("thead", head), el("tbody", body)), class_="scroll")
    said = [el("li", text) for text in (*_disturbances(rows), *_selfchecks(run))]
    return el("section", el("h2", "Noise"), el("p", note), table, el("ul", said) if said else None, id="noise")


def _quiet(group: Sequence[Row]) -> list[str]:
    converged = sum(row.timed is not None and row.timed.metrics.get("converged") is False for row in group)
    disturbed = sum(row.timed is not None and bool(row.timed.metrics.get("noise")) for row in group)
    return [
        str(len(group)),
        _share(group, "sigma"),
        _share(group, "detectable_slowdown"),
        str(converged),
        str(disturbed),
    ]


def _share(group: Sequence[Row], name: str) -> str:
    values = [value for row in group if (value := row.metric(name)) is not None]
    return f"{100 * statistics.median(values):.2g} %" if values else "–"


def _disturbances(rows: Sequence[Row]) -> list[str]:
    """What disturbed the samples, in words that differ in their numbers alone put together."""
    found: dict[str, list[list[str]]] = {}
    for row in rows:
        for text in str((row.timed.metrics.get("noise") if row.timed else "") or "").split("; "):
            if text:
                found.setdefault(_NUMBER.sub("\0", plain(text)), []).append(_NUMBER.findall(text))
    most = sorted(found.items(), key=lambda item: -len(item[1]))[:10]
    return [f"in {len(numbers)} timings: {_ranges(words, numbers)}" for words, numbers in most]


def _ranges(words: str, numbers: Sequence[Sequence[str]]) -> str:
    parts = words.split("\0")
    text = parts[0]
    for part, *values in zip(parts[1:], *numbers, strict=True):
        low, high = min(values, key=float), max(values, key=float)
        text += (low if low == high else f"{low} to {high}") + part
    return text


def _selfchecks(run: Run) -> list[str]:
    checks: Any = run.header.get("selfcheck")
    if not isinstance(checks, Mapping):
        return []
    return [
        f"{device}: self-check {'passed' if check.get('passed') else 'failed'}: {check.get('reason') or ''}".strip(": ")
        for device, check in checks.items()
        if isinstance(check, Mapping)
    ]


def _tile(statuses: Mapping[Status, int]) -> Html:
    name, short, full = tile(by_severity(statuses))
    return el("td", short, class_=name if short else "empty", title=full or None)
