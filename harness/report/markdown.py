"""``report.md``: the report of a run as GitHub-flavoured Markdown; text of strangers stays text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.outcome import Outcome
from harness.core.status import Status
from harness.report import tables, training
from harness.report.memory import memory_lines
from harness.report.page_sight import groups_of, power, worst_by_dtype
from harness.report.rows import GRADES, Row, collect, implementations
from harness.report.text import (
    COPY_LEGEND,
    clip,
    count,
    duration,
    extras_text,
    median_speedup,
    plain,
    shape_text,
    share,
    size,
    speedup,
    verdict_facts,
)  # fmt: skip
from harness.store import Run

#: Findings listed one by one; ``cells.jsonl`` holds all.
MAX_FINDINGS = 100
_ENTITIES = {ord(char): f"&#{ord(char)};" for char in "|`*[]\\~"} | {
    ord("<"): "&lt;",
    ord(">"): "&gt;",
    ord("&"): "&amp;",
}


def report_markdown(run: Run) -> str:
    """Summary, correctness matrix, stability map, speed, memory, findings and environment of ``run``."""
    rows = collect(run)
    names, groups = implementations(rows), tables.speed_groups(rows, run.header)
    parts = [
        _head(run, rows), _summary(rows, groups), _matrix(rows, names), _stability(rows, names), *_speed(groups, names),
        _memory(groups, names), _training(rows), _sight(run),
        _findings("Findings", tables.faults(rows), "Nothing at fault."),
        _findings("Declared differences", tables.declared(rows), "None."), _environment(run),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def inline(text: object) -> str:
    """``text`` for a line or a table cell: no markup, no HTML, no line break."""
    return clip(plain(str(text)), 600).translate(_ENTITIES)


def block(text: str) -> str:
    """``text`` as a fenced block whose fence is longer than any within."""
    fence = "```"
    while fence in text:
        fence += "`"
    clean = "\n".join(plain(line) for line in text.split("\n"))
    return f"{fence}text\n{clean}\n{fence}"


def table(head: Sequence[str], body: Sequence[Sequence[str]], right: int = 99) -> str:
    """A table of cells that are Markdown already; columns from number ``right`` on are aligned right."""
    rule = ["---" if place < right else "--:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, rule, *body))


def _head(run: Run, rows: Sequence[Row]) -> str:
    suite = run.header.get("suite")
    name = suite.get("name", "run") if isinstance(suite, Mapping) else suite or "run"
    cells = len({row.case for row in rows})
    lines = [
        f"# {inline(name)}",
        "",
        f"{count(cells, 'cell')}, {count(len(implementations(rows)), 'implementation')}, {inline(run.run_id)}.",
    ]
    notes = run.header.get("notes")
    lines += [f"\n> note: {inline(note)}" for note in [*(notes if isinstance(notes, list) else []), *run.notices]]
    return "\n".join(lines)


def _summary(rows: Sequence[Row], groups: Sequence[tables.Group]) -> str:
    body = []
    for item in tables.summaries(rows, groups):
        ratio = "baseline" if item.is_baseline else median_speedup(item.median_speedup)
        fastest = f"{item.fastest} of {item.timed}" if item.timed else "–"
        body.append(
            [
                inline(item.implementation),
                _statuses(item.statuses),
                ratio,
                fastest,
                *(str(item.grades[g]) for g in GRADES),
            ]
        )
    head = ["implementation", "cells", "median speedup", "fastest in", *(f"grade {grade}" for grade in GRADES)]
    return "## Summary\n\n" + table(head, body, 2)


def _statuses(statuses: Mapping[Status, int]) -> str:
    return ", ".join(f"{number} {status.value}" for status, number in statuses.items()) or "–"


def _matrix(rows: Sequence[Row], names: Sequence[str]) -> str:
    checks, found = tables.check_names(rows), tables.check_matrix(rows)
    body = [[inline(name), *(_statuses(found.get((name, check), {})) for check in checks)] for name in names]
    return "## Correctness\n\n" + table(["implementation", *map(inline, checks)], body)


def _stability(rows: Sequence[Row], names: Sequence[str]) -> str:
    found = tables.stability_map(rows)
    regimes, dtypes = sorted({key[1] for key in found}), sorted({key[2] for key in found})
    body = [
        [inline(name), inline(dtype), *(_statuses(found.get((name, regime, dtype), {})) for regime in regimes)]
        for name in names
        for dtype in dtypes
        if any((name, regime, dtype) in found for regime in regimes)
    ]
    return "## Stability\n\n" + table(["implementation", "dtype", *map(inline, regimes)], body)


def _speed(groups: Sequence[tables.Group], names: Sequence[str]) -> list[str]:
    if not groups:
        return ["## Speed\n\nNothing was timed in this run."]
    note = (
        "Baseline: median time of one call. Others: speedup (baseline time ÷ own time) with its interval. "
        "**Bold**: nobody is measurably faster. † differs from torch, as declared. "
        "*Not compared*: its forward makes the gradient. "
        f"{COPY_LEGEND.capitalize()}, as a speedup."
    )
    parts = [f"## Speed\n\n{note}"]
    for group in groups:
        shown = [name for name in names if any(name in line.rows for line in group.lines)]
        copy = ["copy"] if group.has_copy else []
        body = [
            [*_label(line), *(median_speedup(line.copy) for _ in copy), *(_speed_cell(line, n) for n in shown)]
            for line in group.lines
        ]
        head = ["shape", "dtype", "regime", *copy, *map(inline, shown)]
        doubt = f"> **{inline(group.doubt)}**\n\n" if group.doubt else ""
        parts.append(f"### {inline(group.title)}\n\n{doubt}" + table(head, body, 3))
    return parts


def _label(line: tables.Line) -> list[str]:
    regime = " ".join(filter(None, (line.case.regime, extras_text(line.case))))
    return [shape_text(line.case), inline(line.case.dtype), inline(regime)]


def _speed_cell(line: tables.Line, name: str) -> str:
    row = line.rows.get(name)
    if row is None or not row.is_timed:
        return tables.word(row)
    ratio = speedup(row.metric("speedup"), row.metric("speedup_low"), row.metric("speedup_high"))
    text = (duration(row.metric("median_ns")) if row.is_baseline else ratio) + ("†" if row.is_declared else "")
    return f"**{text}**" if name in line.best else text


def _memory(groups: Sequence[tables.Group], names: Sequence[str]) -> str:
    lines = memory_lines(groups)
    if not lines:
        return ""
    shown = [name for name in names if any(name in line.peak_bytes or name in line.first_call_ns for line in lines)]
    body = [
        [line.shape, inline(line.dtype), inline(line.title), size(line.results)]
        + [
            f"{size(line.peak_bytes.get(name))}, {duration(line.first_call_ns.get(name))}, "
            f"{share(line.roofline_fraction.get(name))}"
            for name in shown
        ]
        for line in lines
    ]
    note = (
        "Results: what the loss and the gradients themselves take. Peak memory above the inputs, results included, the "
        "first call in a fresh process, and the roofline fraction (least possible time ÷ median time); the worst over "
        "regimes and options."
    )
    head = ["shape", "dtype", "where", "results", *map(inline, shown)]
    return f"## Memory, first call and roofline\n\n{note}\n\n" + table(head, body, 3)


def _training(rows: Sequence[Row]) -> str:
    lines = training.training_table(rows)
    if not lines:
        return ""
    body = [[inline(cell) for cell in line] for line in lines]
    return f"## {training.TITLE}\n\n{table(training.HEAD, body, 3)}\n\n{training.NOTE}."


def _findings(title: str, outcomes: Sequence[Outcome], none: str) -> str:
    if not outcomes:
        return f"## {title}\n\n{none}"
    lines = [f"## {title}"]
    for outcome in outcomes[:MAX_FINDINGS]:
        where = f"{inline(outcome.implementation)} · {inline(outcome.check)} · {inline(outcome.cell)}"
        facts = ", ".join(f"{name} {inline(value)}" for name, value in verdict_facts(outcome.metrics))
        lines.append(
            f"- **{outcome.status.value}** {where}: {inline(outcome.reason)}" + (f" ({facts})" if facts else "")
        )
        if outcome.metrics.get("reproduce"):
            lines[-1] += "\n\n" + _indent(block(str(outcome.metrics["reproduce"])))
    if len(outcomes) > MAX_FINDINGS:
        lines.append(f"… and {len(outcomes) - MAX_FINDINGS} more, in cells.jsonl.")
    return "\n\n".join(lines)


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.split("\n"))


def _sight(run: Run) -> str:
    """What the suite can see: for each dtype and region the smallest ε caught where options and C make it hardest."""
    worst = worst_by_dtype(groups_of(run.header))
    if not worst:
        return ""
    regions = list(dict.fromkeys(region for by_region in worst.values() for region in by_region))
    body = [
        [dtype, *(power(by_region[region]) if region in by_region else "–" for region in regions)]
        for dtype, by_region in worst.items()
    ]
    text = (
        "Each region of the true answer, scaled by 1 + ε, goes through the check that judges it. The smallest ε caught "
        "in the best regime, for the C and the options where that is largest:"
    )
    return f"## What this suite can see\n\n{text}\n\n{table(['dtype', *map(inline, regions)], body, right=1)}"


def _environment(run: Run) -> str:
    body = []
    for key, value in run.header.items():
        if key in ("notes", "planned", "planned_cells", "blindness"):
            continue
        shown: Any = value
        if key == "suite" and isinstance(value, Mapping):
            shown = {name: item for name, item in value.items() if name != "text"}
        text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
        body.append([inline(key), inline(text)])
    return "## Environment\n\n" + table(["", ""], body)
