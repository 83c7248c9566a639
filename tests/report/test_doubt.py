"""Where a planted slowdown was missed, every form of the report says so beside the speeds, and nobody is fastest."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from harness.commands.choose import choose
from harness.core.case import Case
from harness.report.markdown import report_markdown
from harness.report.page import report_page
from harness.report.rows import collect
from harness.report.tables import speed_groups, summaries
from harness.report.terminal import closing_text
from harness.store import read_run
from tests.report.synthetic import HEADER, HOSTILE, judged, make_run, timed

_REASON = "a planted slowdown of 5 % was missed"


def run_of(tmp_path, selfcheck):
    case = Case(batch=4, classes=5, pass_="forward")
    found = [made for name, ratio in (("torch", 1.0), ("mine", 507.0))
             for made in (judged(case, name, "agreement"), timed(case, name, ratio))]  # fmt: skip
    return make_run(tmp_path, found, {**HEADER, "selfcheck": selfcheck})


def texts(path):
    run = read_run(path)
    return [closing_text(run), report_markdown(run), report_page(run)]


def test_a_failed_selfcheck_stands_beside_the_speeds_and_nobody_is_best(tmp_path):
    path = run_of(tmp_path, {"cpu": {"passed": False, "reason": _REASON}})
    for text in texts(path):
        assert text.count(f"No speed here can be trusted: {_REASON}.") >= 1
        assert "507" in text
    rows = collect(read_run(path))
    groups = speed_groups(rows, read_run(path).header)
    assert [line.best for group in groups for line in group.lines] == [frozenset()]
    assert [item.fastest for item in summaries(rows, groups)] == [0, 0]


@pytest.mark.parametrize("selfcheck", [{"cpu": {"passed": True, "reason": ""}}, {"cuda": {"passed": False}}, {}, None])
def test_otherwise_nothing_is_said(tmp_path, selfcheck):
    path = run_of(tmp_path, selfcheck)
    assert not any("No speed here can be trusted" in text for text in texts(path))
    assert speed_groups(collect(read_run(path)), read_run(path).header)[0].lines[0].best == {"mine"}


def test_the_choice_says_it_too_on_the_page_and_in_the_terminal(tmp_path):
    path = run_of(tmp_path, {"cpu": {"passed": False, "reason": _REASON}})
    sentence = f"No speed on cpu can be trusted: {_REASON}."
    assert report_page(read_run(path)).count(sentence) == 4
    assert sentence in chosen(path)
    passed = run_of(tmp_path / "passed", {"cpu": {"passed": True, "reason": ""}})
    assert "can be trusted" not in chosen(passed)


def test_a_strangers_name_of_a_run_reaches_no_terminal_as_an_escape(tmp_path):
    path = run_of(tmp_path, {"cpu": {"passed": False, "reason": _REASON}})
    header = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**header, "run_id": HOSTILE}))
    told = chosen(path)
    assert _REASON in told
    assert "\x1b" not in told


def chosen(path):
    console = Console(file=io.StringIO(), width=100)
    assert choose(path, console=console) == 0
    return console.file.getvalue()


def test_what_a_stranger_wrote_as_the_reason_stays_text(tmp_path):
    path = run_of(tmp_path, {"cpu": {"passed": False, "reason": HOSTILE}})
    terminal, markdown, page = texts(path)
    assert "\x1b" not in terminal
    assert HOSTILE not in markdown
    assert HOSTILE not in page
