"""JUnit, Parquet, GitHub's summary and annotations, and where ``report`` writes."""

from __future__ import annotations

import importlib.util
import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from harness.commands.github import publish
from harness.commands.report import report
from harness.core.case import Case
from harness.core.errors import UsageError
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.report.export import export
from harness.report.github import MAX_ANNOTATIONS, annotations, step_summary
from harness.store import read_run
from tests.report.synthetic import HOSTILE, cases, judged, make_run, outcomes
from tests.report.test_pages import hostile_outcomes


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def test_junit_has_a_case_per_verdict_and_counts_that_add_up(tmp_path):
    found = outcomes(50)
    root = ElementTree.fromstring(export(make_run(tmp_path, found), "junit"))
    assert len(list(root.iter("testcase"))) == len(found)
    naive = next(suite for suite in root if suite.get("name") == "naive")
    wrong = sum(o.status is Status.FAILED for o in found if o.implementation == "naive")
    assert int(naive.get("failures")) == wrong == len(list(naive.iter("failure"))) > 0
    assert "reproduce: python -m harness check naive" in next(naive.iter("failure")).text


def test_junit_keeps_strangers_text_as_text_and_drops_what_xml_cannot_hold(tmp_path):
    case = Case(batch=4, classes=5)
    bad = Outcome(
        case=case, implementation="a\x00b\x1b\ud800", kind=JUDGED, check="<x>", status=Status.RAISED, reason="]]>&"
    )
    root = ElementTree.fromstring(export(make_run(tmp_path, [*hostile_outcomes(), bad]), "junit"))
    assert HOSTILE.replace("\x1b", "�") in {suite.get("name") for suite in root}
    assert any(case.get("classname", "").endswith("<x>") for case in root.iter("testcase"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'loss-harness\[parquet\]'"):
        export(make_run(tmp_path, outcomes(1)), "parquet")


@pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow, which is optional")
def test_parquet_holds_the_rows_of_the_frame(tmp_path):
    import pandas as pd

    content = export(make_run(tmp_path, outcomes(50)), "parquet")
    assert len(pd.read_parquet(io.BytesIO(content))) == 251


def test_the_step_summary_tells_what_failed_and_leaves_the_environment_out(tmp_path):
    text = step_summary(read_run(make_run(tmp_path)))
    assert "## Summary" in text
    assert "stability is failed" in text
    assert "## Environment" not in text


def test_a_summary_too_large_for_github_is_cut_at_a_section(tmp_path, monkeypatch):
    monkeypatch.setattr("harness.report.github.MAX_SUMMARY_BYTES", 3_000)
    text = step_summary(read_run(make_run(tmp_path)))
    assert len(text.encode()) < 3_200
    assert "cut; the run folder" in text


def test_annotations_are_single_lines_and_no_command_can_be_smuggled_in(tmp_path):
    case = cases(1)[0]
    bad = [
        judged(case, f"a,::{n}", "agreement", Status.FAILED, reproduce="x\n::set-env name=PATH::evil")
        for n in range(20)
    ]
    lines = list(annotations(read_run(make_run(tmp_path, bad))))
    assert len(lines) == MAX_ANNOTATIONS
    for line in lines:
        assert line.startswith("::error title=failed%3A a%2C%3A%3A")
        assert "\n" not in line


def test_github_is_told_only_where_the_environment_says_so(tmp_path):
    run, summary, told = read_run(make_run(tmp_path)), tmp_path / "summary.md", console()
    publish(run, told, {})
    assert told.file.getvalue() == ""
    publish(run, told, {"GITHUB_STEP_SUMMARY": str(summary), "GITHUB_ACTIONS": "true"})
    assert "## Summary" in summary.read_text()
    assert told.file.getvalue().startswith("::error title=")


def test_report_replaces_a_link_in_the_folder_and_never_follows_it(tmp_path, monkeypatch):
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    folder, victim = make_run(tmp_path / "run", outcomes(1)), tmp_path / "victim.txt"
    victim.write_text("mine")
    (folder / "report.html").symlink_to(victim)
    assert report(folder, "html", None, console()) == 0
    assert victim.read_text() == "mine"
    assert not (folder / "report.html").is_symlink()
    assert "<!doctype html>" in (folder / "report.html").read_text()


def test_report_writes_where_it_is_told_and_says_so_when_it_cannot(tmp_path):
    folder, told = make_run(tmp_path / "run", outcomes(1)), console()
    report(folder, "junit", tmp_path / "out.xml", told)
    assert "wrote" in told.file.getvalue()
    assert (tmp_path / "out.xml").read_text().startswith("<?xml")
    with pytest.raises(UsageError, match="cannot be written"):
        report(folder, "csv", tmp_path / "no" / "such" / "folder.csv", told)
