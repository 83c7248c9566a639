"""Sections of the page on right and wrong: correctness matrix, verdicts, stability map, environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.core.case import DTYPES, Case
from harness.core.outcome import Outcome
from harness.core.status import FAULTS, Status
from harness.report import tables
from harness.report.machine import machine_facts
from harness.report.markup import Child, Html, el
from harness.report.rows import Row, losses_of
from harness.report.text import count, figure, verdict_facts
from harness.store import Run

Mark = Callable[[Case], str]
#: Verdicts listed per implementation and check; ``cells.jsonl`` holds all.
MAX_VERDICTS = 100
_SYMBOLS = {"bad": "✗", "declared": "†", "ok": "✓", "none": "–"}


def tile(statuses: Mapping[Status, int]) -> tuple[str, str, str]:
    """Colour, short text and full text of a tile: faults first, else declared, else passed, else what there is."""
    groups = {"bad": 0, "declared": 0, "ok": 0, "none": 0}
    for status, number in statuses.items():
        groups[_kind(status)] += number
    name = next((name for name, number in groups.items() if number), "none")
    total, shown = sum(groups.values()), groups[name]
    short = f"{_SYMBOLS[name]} {shown}" + (f" of {total}" if shown != total else "")
    return name, short if total else "", ", ".join(f"{number} {status.value}" for status, number in statuses.items())


def matrix_section(rows: Sequence[Row], names: Sequence[str]) -> Html:
    """Implementation × check; a tile leads to the verdicts behind it."""
    checks, matrix = tables.check_names(rows), tables.check_matrix(rows)
    anchors = {**_anchors(tables.declared(rows), "declared"), **_anchors(tables.faults(rows), "faults")}
    losses = losses_of(rows)
    several = len(set(losses.values())) > 1
    head = el("tr", el("th", "implementation", scope="col"), [el("th", check, scope="col") for check in checks])
    body = []
    for place, name in enumerate(names):
        cells = [
            _tile(matrix.get((name, check), {}), f"{place} {number}", anchors.get((name, check)))
            for number, check in enumerate(checks)
        ]
        about = el("small", losses.get(name)) if several else None
        body.append(el("tr", el("th", name, about, scope="row"), cells))
    caption = (
        "Cells by the worst verdict of a check: ✓ passed, † differs as declared, ✗ at fault, – not judged there. "
        "A tile with a link leads to its verdicts."
    )
    table = el("table", el("caption", caption), el("thead", head), el("tbody", body), class_="tiles")
    return el("section", el("h2", "Correctness"), el("div", table, class_="scroll"), id="matrix")


def faults_section(rows: Sequence[Row], mark: Mark) -> Html | None:
    """The verdicts at fault, by implementation and check; None where there are none."""
    lists = _lists(tables.faults(rows), "faults", mark)
    if not lists:
        return None
    note = "Each with its error, budget, region and seed, and the command that shows it again."
    return el("section", el("h2", "At fault"), el("p", note), lists, id="faults")


def stability_section(rows: Sequence[Row], names: Sequence[str]) -> Html:
    """Implementation and dtype × regime, by the worst of all checks."""
    found = tables.stability_map(rows)
    regimes = sorted({regime for _, regime, _ in found})
    all_regimes = sorted({row.case.regime for row in rows})
    dtypes = [d for d in DTYPES if any(dtype == d for *_, dtype in found)]
    dtypes += sorted({dtype for *_, dtype in found} - set(DTYPES))
    all_dtypes = _facet_dtypes(rows)
    head = el("tr", [el("th", title, scope="col") for title in ("implementation", "dtype", *regimes)])
    body = []
    for place, name in enumerate(names):
        for dtype in dtypes:
            cells = [
                _tile(
                    found.get((name, regime, dtype), {}),
                    f"{place} {all_dtypes.index(dtype)} {all_regimes.index(regime)}",
                    None,
                )
                for regime in regimes
            ]
            body.append(el("tr", el("th", name, scope="row"), el("th", dtype, scope="row", class_="sub"), cells))
    caption = "Cells by the worst verdict of any check, per regime of the logits."
    table = el("table", el("caption", caption), el("thead", head), el("tbody", body), class_="tiles")
    return el("section", el("h2", "Stability"), el("div", table, class_="scroll"), id="stability")


def declared_section(rows: Sequence[Row], mark: Mark) -> Html | None:
    """Differences that implementations declare, with their reasons."""
    lists = _lists(tables.declared(rows), "declared", mark)
    if not lists:
        return None
    note = "Known differences from torch's documented behaviour, declared by the implementation beforehand."
    return el("section", el("h2", "Declared differences"), el("p", note), lists, id="declared")


def environment_section(run: Run) -> Html:
    """The header of the run: machine, versions and command line at a glance, all of it, and the suite as run."""
    header = dict(run.header)
    suite = header.get("suite")
    source = str(suite.get("text", "")) if isinstance(suite, Mapping) else ""
    if isinstance(suite, Mapping):
        header["suite"] = {key: value for key, value in suite.items() if key != "text"}
    skipped = ("notes", "planned", "planned_cells", "blindness")
    facts = [(el("dt", key), el("dd", _value(value))) for key, value in header.items() if key not in skipped]
    glance = [(el("dt", name), el("dd", value)) for name, value in machine_facts(run.header)]
    every = el("details", el("summary", "All of run.json"), el("dl", facts, class_="facts wide"))
    shown = el("details", el("summary", "Suite as run"), el("pre", source, tabindex="0")) if source else None
    table = el("dl", glance, class_="facts wide")
    return el("section", el("h2", "Environment"), table, shown, every, id="environment")


def _by_check(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    found: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.implementation, outcome.check), []).append(outcome)
    return found


def _anchors(outcomes: Sequence[Outcome], prefix: str) -> dict[tuple[str, str], str]:
    return {key: f"{prefix}-{place}" for place, key in enumerate(_by_check(outcomes))}


def _lists(outcomes: Sequence[Outcome], prefix: str, mark: Mark) -> list[Html]:
    anchors = _anchors(outcomes, prefix)
    return [_verdicts(key, found, anchors[key], mark) for key, found in _by_check(outcomes).items()]


def _facet_dtypes(rows: Sequence[Row]) -> list[str]:
    found = {row.case.dtype for row in rows}
    return [*(d for d in DTYPES if d in found), *sorted(found - set(DTYPES))]


def _tile(statuses: Mapping[Status, int], place: str, anchor: str | None) -> Html:
    name, short, full = tile(statuses)
    content: Child = el("a", short, href=f"#{anchor}") if anchor else short
    return el("td", content, class_=name if short else "empty", title=full or None, data_tile=place)


def _verdicts(key: tuple[str, str], outcomes: Sequence[Outcome], anchor: str, mark: Mark) -> Html:
    name, check = key
    title = f"{name} · {check}: {count(len(outcomes), 'verdict')}"
    shown = [_verdict(outcome, mark) for outcome in outcomes[:MAX_VERDICTS]]
    rest = len(outcomes) - len(shown)
    more = el("p", f"… and {rest} more, in cells.jsonl.", class_="dim") if rest > 0 else None
    # the anchor stands inside, so that following a link to it opens the list even without scripts
    return el("details", el("summary", title), el("div", shown, more, id=anchor), class_="verdicts")


def _verdict(outcome: Outcome, mark: Mark) -> Html:
    metrics = outcome.metrics
    facts = [el("div", el("dt", name), el("dd", value)) for name, value in verdict_facts(metrics)]
    trace = el("details", el("summary", "Traceback"), el("pre", outcome.traceback)) if outcome.traceback else None
    command = metrics.get("reproduce")
    return el(
        "article",
        el(
            "p", el("span", outcome.status.value, class_=f"chip {_kind(outcome.status)}"), " ", el("code", outcome.cell)
        ),
        el("p", outcome.reason) if outcome.reason else None,
        el("dl", facts, class_="facts") if facts else None,
        el("pre", str(command), class_="command", tabindex="0") if command else None,
        trace,
        data_f=mark(outcome.case),
    )


def _value(value: Any) -> Child:
    if isinstance(value, Mapping):
        return el(
            "dl", [(el("dt", str(key)), el("dd", _value(item))) for key, item in value.items()], class_="facts wide"
        )
    if isinstance(value, list):
        return " ".join(str(item) for item in value)
    return figure(value)


def _kind(status: Status) -> str:
    if status in FAULTS:
        return "bad"
    return {Status.PASSED: "ok", Status.DECLARED: "declared"}.get(status, "none")
