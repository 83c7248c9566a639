"""The closing report of a run in the terminal, at most 100 columns wide: faults, speed, memory, summary."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.core.outcome import Outcome
from harness.core.status import FAULTS, Status
from harness.report import tables, training
from harness.report.memory import MemoryLine, memory_lines
from harness.report.rows import GRADES, Row, collect, implementations
from harness.report.text import (
    COPY_LEGEND,
    NOT_COMPARED,
    break_name,
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
)
from harness.store import Run

MAX_WIDTH = 100
#: Faults printed one by one; the run folder's report holds all.
MAX_FAULTS = 50
_NAME = 13
_LABEL = 24
_COST = 19
_COSTS = "peak memory above the inputs (results in it), first call, roofline fraction"
_LEGEND = (
    "* nobody is measurably faster   † differs from torch, as declared   "
    f"{NOT_COMPARED}: its forward makes the gradient"
)
_FACTS = ("ratio", "ulp_error", "region", "grade", "required_grade", "seed")
_STYLES = {Status.PASSED: "green", Status.DECLARED: "yellow"}


def render_closing(console: Console, run: Run) -> None:
    """Print the closing report of ``run``: faults with the command that shows each again, speed, memory, summary."""
    if console.is_terminal:
        _render(console, run)
    else:  # a pipe has no width of its own
        console.print(Text(closing_text(run)), soft_wrap=True, end="")


def closing_text(run: Run, width: int = MAX_WIDTH) -> str:
    """The closing report as plain text, the same tables without colour."""
    stream = io.StringIO()
    _render(Console(file=stream, width=width, color_system=None, force_terminal=False, highlight=False), run)
    return "".join(f"{line.rstrip()}\n" for line in stream.getvalue().splitlines())


def _render(console: Console, run: Run) -> None:
    rows = collect(run)
    width = min(MAX_WIDTH, console.width)
    names, groups = implementations(rows), tables.speed_groups(rows, run.header)
    _faults(console, rows, width)
    for group in groups:
        _speed(console, group, names, width)
    _memory(console, memory_lines(groups), names, width)
    _untimed(console, rows, width)
    _training(console, rows, width)
    _summary(console, tables.summaries(rows, groups), width)
    _notes(console, run, width)


def _faults(console: Console, rows: Sequence[Row], width: int) -> None:
    found = tables.faults(rows)
    if not found:
        return
    console.print(Text(f"At fault: {count(len(found), 'verdict')}", style="bold red"))
    for outcome in found[:MAX_FAULTS]:
        _fault(console, outcome, width)
    if len(found) > MAX_FAULTS:
        console.print(f"  … and {len(found) - MAX_FAULTS} more; the report in the run folder lists all", width=width)
    console.print()


def _fault(console: Console, outcome: Outcome, width: int) -> None:
    head = Text("  ").append(outcome.status.value, style="red")
    check = outcome.check if outcome.kind == "judged" else "while timed"
    head.append(f"  {clip(plain(outcome.implementation), 40)} · {clip(plain(check), 24)}", style="bold")
    console.print(head, width=width)
    console.print(Text(f"    {plain(outcome.cell)}"), soft_wrap=True)
    # the reason tells error, budget and index already
    facts = ", ".join(f"{name} {clip(value, 60)}" for name, value in verdict_facts(outcome.metrics, _FACTS))
    for line in (clip(plain(outcome.reason), 3 * width), facts):
        if line:
            console.print(Padding(Text(line), (0, 0, 0, 4)), width=width)
    if outcome.metrics.get("reproduce"):
        # unwrapped, so that it can be copied as one line
        console.print(Text(f"    {plain(str(outcome.metrics['reproduce']))}", style="cyan"), soft_wrap=True)


def _speed(console: Console, group: tables.Group, names: Sequence[str], width: int) -> None:
    # what is unsupported all over is in the summary, and would be a table of that word here
    shown = [name for name in names if any(_supported(line.rows.get(name)) for line in group.lines)]
    base = next((line.baseline.implementation for line in group.lines if line.baseline), None)
    others = [name for name in shown if name != base]
    copy = ["copy"] if group.has_copy else []
    per_table = max(1, (width - _label_width(group) - 11 - 7 * len(copy)) // (_NAME + 1))
    for start in range(0, max(1, len(others)), per_table):
        table = _table()
        _label_columns(table)
        if base is not None:
            table.add_column(Text(break_name(base, 10)), justify="right", no_wrap=True)
        for name in copy:
            table.add_column(name, justify="right", no_wrap=True)
        chunk = others[start : start + per_table]
        for name in chunk:
            table.add_column(Text(break_name(name, _NAME)), justify="right", no_wrap=True, max_width=_NAME)
        for line in group.lines:
            cells = [_time(line)] if base is not None else []
            cells += [Text(median_speedup(line.copy), style="dim") for _ in copy]
            table.add_row(*_label(line), *cells, *(_ratio(line, name) for name in chunk))
        _print(console, table, f"{group.title}: speedup over {clip(base or '–', 40)}", width)
    if group.doubt:
        console.print(Padding(Text(group.doubt, style="bold red"), (0, 0, 0, 2)), width=width)
    for legend in (_LEGEND, COPY_LEGEND) if copy else (_LEGEND,):
        console.print(Text(f"  {legend}", style="dim"), width=width)
    console.print()


def _supported(row: Row | None) -> bool:
    return row is not None and row.status is not Status.UNSUPPORTED


def _time(line: tables.Line) -> Text:
    row = line.baseline
    if row is None:
        return Text("–", style="dim")
    return _marked(duration(row.metric("median_ns")), row, row.implementation in line.best)


def _ratio(line: tables.Line, name: str) -> Text:
    row = line.rows.get(name)
    if row is None or not row.is_timed:
        found = tables.word(row)
        return Text(found, style="red" if row is not None and row.status in FAULTS else "dim")
    text = speedup(row.metric("speedup"), row.metric("speedup_low"), row.metric("speedup_high"))
    return _marked(text, row, name in line.best)


def _marked(text: str, row: Row, best: bool) -> Text:
    marks = ("†" if row.is_declared else "") + ("*" if best else "")
    return Text(f"{text}{marks}", style="bold green" if best else "")


def _memory(console: Console, lines: Sequence[MemoryLine], shown: Sequence[str], width: int) -> None:
    for title in dict.fromkeys(line.title for line in lines):
        mine = [line for line in lines if line.title == title]
        names = [name for name in shown if any(name in {*line.peak_bytes, *line.first_call_ns} for line in mine)]
        widest = max(len(line.shape) + len(line.dtype) for line in mine) + 2
        per_table = max(1, (width - min(widest, 28) - 9) // (_COST + 1))
        for start in range(0, len(names), per_table):
            table = _table()
            table.add_column("shape", no_wrap=True, max_width=18)
            table.add_column("dtype", no_wrap=True, max_width=18)
            table.add_column("results", justify="right", no_wrap=True)
            chunk = names[start : start + per_table]
            for name in chunk:
                table.add_column(Text(break_name(name, _COST)), justify="right", no_wrap=True, max_width=_COST)
            for line in mine:
                results = size(line.results).replace(" ", "")
                table.add_row(line.shape, Text(plain(line.dtype)), results, *(_cost(line, name) for name in chunk))
            _print(console, table, f"{title}: {_COSTS}", width)
        console.print()


def _cost(line: MemoryLine, name: str) -> str:
    peak, first = line.peak_bytes.get(name), line.first_call_ns.get(name)
    if peak is None and first is None:
        return "–"
    roofline = share(line.roofline_fraction.get(name)).replace(" ", "")
    return f"{size(peak).replace(' ', '')} {duration(first).replace(' ', ''):>6} {roofline:>4}"


def _untimed(console: Console, rows: Sequence[Row], width: int) -> None:
    found = tables.untimed(rows)
    if not found:
        return
    table = _table()
    for title in ("device", "pass", "implementation", "cells"):
        table.add_column(title, overflow="fold")
    for (device, pass_, name), statuses in found.items():
        table.add_row(*(Text(clip(plain(text), 30)) for text in (device, pass_, name)), statuses_text(statuses))
    _print(console, table, "cells judged, not timed", width)
    console.print()


def _training(console: Console, rows: Sequence[Row], width: int) -> None:
    lines = training.training_table(rows)
    if not lines:
        return
    table = _table()
    for place, title in enumerate(training.HEAD):
        table.add_column(title, overflow="fold", justify="left" if place < 3 else "right")
    for line in lines:
        table.add_row(*(Text(clip(cell, 30)) for cell in line))
    _print(console, table, training.TITLE, width)
    console.print(Text(f"  {training.NOTE}", style="dim"), width=width)
    console.print()


def _summary(console: Console, items: Sequence[tables.Summary], width: int) -> None:
    table = _table()
    table.add_column("implementation", overflow="fold")
    table.add_column("cells", overflow="fold")
    for title in ("median\nspeedup", "fastest in", "grades: " + "/\n".join(["relative/tight", "standard"])):
        table.add_column(title, justify="right", no_wrap=True)
    for item in items:
        ratio = "baseline" if item.is_baseline else median_speedup(item.median_speedup)
        fastest = f"{item.fastest} of {item.timed}" if item.timed else "–"
        grades = " / ".join(str(item.grades[grade]) for grade in GRADES)
        table.add_row(Text(clip(plain(item.implementation), 34)), statuses_text(item.statuses), ratio, fastest, grades)
    _print(console, table, "summary", width)


def statuses_text(statuses: Mapping[Status, int]) -> Text:
    """``12 passed, 3 declared, 1 failed``, coloured by status."""
    text = Text()
    for status, number in statuses.items():
        style = _STYLES.get(status, "red" if status in FAULTS else "dim")
        text.append(", " if text else "").append(f"{number} {status.value}", style=style)
    return text


def _notes(console: Console, run: Run, width: int) -> None:
    notes = run.header.get("notes")
    for note in [*(notes if isinstance(notes, list) else []), *run.notices]:
        console.print(Text(f"note: {plain(str(note))}", style="yellow"), width=width)


def _label(line: tables.Line) -> tuple[Text, Text, Text]:
    label = " ".join(filter(None, (line.case.regime, extras_text(line.case))))
    return Text(shape_text(line.case)), Text(plain(line.case.dtype)), Text(plain(label))


def _label_columns(table: Table) -> None:
    table.add_column("shape", no_wrap=True, max_width=18)
    table.add_column("dtype", no_wrap=True, max_width=18)
    table.add_column("regime", overflow="fold", max_width=_LABEL)


def _label_width(group: tables.Group) -> int:
    labels = [_label(line) for line in group.lines]
    widths = [max(len(label[place]) for label in labels) + 1 for place in range(3)]
    return min(widths[0], 19) + min(widths[1], 19) + min(widths[2], _LABEL + 1)


def _table() -> Table:
    # every cell and header that holds a stranger's text is a Text: in a str rich reads [markup] and :codes:
    return Table(box=None, padding=(0, 1, 0, 0))


def _print(console: Console, table: Table, title: str, width: int) -> None:
    console.print(Text(plain(title), style="bold"), width=width)
    console.print(table, width=width)
