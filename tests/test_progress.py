"""What a run shows while it goes on: bars on a terminal, plain lines elsewhere and in CI, JSON lines for programs."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from harness.core.case import Case
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status
from harness.progress import Display, JsonProgress, LiveProgress, PlainProgress, listener

CASE = Case(batch=4, classes=10)


def console(*, terminal: bool, width: int = 80, **options) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, **options)


def outcome(status: Status = Status.FAILED, name: str = "mine\x1b[31m") -> Outcome:
    return Outcome(case=CASE, implementation=name, kind=JUDGED, check="gradient", status=status, reason="off by 2")


def a_run(shown) -> str:
    with shown:
        shown.planned(judged=4, timed=2, summary="suite mine: 4 cells")
        shown.working("judging mine on " + CASE.cell)
        shown.outcome(outcome())
        shown.outcome(outcome(Status.PASSED, "torch"))
        for _ in range(4):
            shown.advanced(JUDGED)
        shown.working("timing " + CASE.cell)
        shown.advanced(TIMED)
        shown.note("[bold]a note[/bold]")
        return ""


@pytest.mark.parametrize(
    ("terminal", "quiet", "environ", "kind"),
    [
        (True, False, {}, LiveProgress),
        (True, False, {"CI": "false"}, LiveProgress),
        (True, False, {"CI": "true"}, PlainProgress),
        (True, True, {}, PlainProgress),
        (False, False, {}, PlainProgress),
    ],
)
def test_bars_are_for_terminals_that_nobody_logs(terminal, quiet, environ, kind):
    assert type(listener(console(terminal=terminal), quiet=quiet, environ=environ)) is kind


def test_events_are_asked_for_not_guessed():
    display = Display(console=console(terminal=True), events=io.StringIO())
    assert isinstance(display.listener(), JsonProgress)


def test_plain_lines_tell_the_plan_each_fault_and_notes_and_no_escape_sequence():
    where = console(terminal=False)
    a_run(PlainProgress(where))
    text = where.file.getvalue()
    assert "suite mine" in text
    assert "failed: mine" in text
    assert "[bold]a note[/bold]" in text
    assert "\x1b" not in text


def test_quiet_says_nothing():
    where = console(terminal=False)
    a_run(PlainProgress(where, quiet=True))
    assert where.file.getvalue() == ""


@pytest.mark.parametrize("width", [40, 80, 100])
def test_bars_show_what_is_done_under_way_failed_and_left_within_the_width(width):
    where = console(terminal=True, width=width, color_system=None)
    shown = LiveProgress(where)
    with shown:
        shown.planned(judged=4, timed=2, summary="suite mine: 4 cells")
        shown.working("judging mine on " + CASE.cell)
        shown.outcome(outcome())
        shown.advanced(JUDGED)
        plain = Console(file=io.StringIO(), width=width, color_system=None)
        plain.print(shown._drawn())
    lines = plain.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    if width >= 80:
        assert "1/4" in lines[0]
        assert "0/2" in lines[1]
    assert lines[-1].startswith("1 at fault  judging mine")
    assert "\x1b[?25h" in where.file.getvalue(), "the cursor is given back"


def test_every_event_is_one_line_of_json():
    stream = io.StringIO()
    a_run(JsonProgress(stream))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [event["event"] for event in events] == [
        "planned", "working", "outcome", "outcome", *["advanced"] * 4, "working", "advanced", "note",
    ]  # fmt: skip
    assert events[0] == {"event": "planned", "judged": 4, "timed": 2, "summary": "suite mine: 4 cells"}
    assert events[2]["implementation"] == "mine\x1b[31m"
    assert (events[2]["cell"], events[2]["status"], events[2]["check"]) == (CASE.cell, "failed", "gradient")
