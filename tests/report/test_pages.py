"""report.html and report.md: complete, self-contained, and nothing a stranger wrote becomes markup."""

from __future__ import annotations

import csv
import io
import json
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from harness.core.case import Case
from harness.core.errors import UsageError
from harness.core.outcome import Outcome
from harness.core.status import Status
from harness.report.export import FORMATS as ALL_FORMATS
from harness.report.export import export
from harness.report.markdown import block, inline
from harness.report.markup import data, el
from harness.report.page_verdicts import tile
from tests.report.synthetic import HEADER, HOSTILE, cases, judged, make_run, outcomes, timed

FORMATS = tuple(name for name in ALL_FORMATS if name != "parquet")  # tested apart: pyarrow is optional
VOID = {"meta", "br", "use", "line", "path"}


class Reader(HTMLParser):
    """Tags, attributes and text of a page; fails on a tag that is closed out of order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words, self.scripts = [], [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        (self.scripts if self.open and self.open[-1] in ("script", "style") else self.words).append(data)

    @property
    def text(self) -> str:
        return "".join(self.words)


def hostile_outcomes() -> list[Outcome]:
    case = Case(
        batch=4,
        classes=5,
        regime=HOSTILE,
        dtype="<b>",
        device="<img src=x onerror=alert(9)>",
        options=(("<i>", "</title>"),),
    )
    trace = "Traceback </pre></details><script>alert(3)</script>"
    found = [
        Outcome(case=case, implementation=HOSTILE, kind="judged", check="<u>", status=Status.RAISED, reason=HOSTILE,
                traceback=trace, metrics={"error": HOSTILE, "region": HOSTILE, "reproduce": HOSTILE}),
        judged(case, "torch", "agreement", Status.DECLARED), timed(case, "torch", 1.0),
    ]  # fmt: skip
    return [*found, judged(case, "=cmd()", "agreement"), timed(case, "=cmd()", 1.5)]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Reader:
    found = [*outcomes(50), judged(cases(1)[0], "boom", "agreement", Status.RAISED)]
    return Reader(export(make_run(tmp_path_factory.mktemp("run"), found), "html"))


def test_the_page_has_every_section(page):
    ids = {value for name, value in page.attributes if name == "id"}
    assert {"summary", "matrix", "stability", "speed", "chart", "memory", "declared", "environment", "filters"} <= ids
    assert page.tags.count("h1") == 1


def test_the_page_shows_verdicts_with_what_is_needed_to_reproduce_them(page):
    for piece in (
        "stability is failed",
        "python -m harness check naive --cell",
        "worst_index",
        "budget",
        "Traceback",
        "boom <b>",
    ):
        assert piece in page.text, piece


def test_the_page_shows_versions_and_the_suite_as_run(page):
    for piece in ("2.13.0", "0123abc", HEADER["suite"]["text"].strip(), "stale expectation of naive"):
        assert piece in page.text, piece


def test_the_page_fetches_nothing(page):
    fetched = [(name, value) for name, value in page.attributes if name in ("src", "srcset", "action", "data") or
               (name == "href" and not value.startswith("#"))]  # fmt: skip
    assert fetched == []
    assert not any(
        "url(" in text or "@import" in text or "http" in text.replace("http://www.w3.org/2000/svg", "")
        for text in page.scripts
    )
    policy = next(value for name, value in page.attributes if name == "content" and "default-src" in value)
    assert policy.startswith("default-src 'none'")


def test_links_lead_to_anchors_that_exist(page):
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for name, value in page.attributes if name == "href"} <= set(ids)


def test_the_filters_know_every_value_and_the_counts_add_up(page):
    tally = json.loads(next(text for text in page.scripts if text.startswith("{")))
    assert sum(count[-1] for count in tally["counts"] if count[1] == -1) == 50 * 5 + 2
    assert len(tally["statuses"]) == len(tally["kinds"]) == 10


def test_strangers_text_stays_text_in_the_page(tmp_path):
    raw = export(
        make_run(
            tmp_path, hostile_outcomes(), {"suite": HOSTILE, "notes": [HOSTILE, 5], "environment": {HOSTILE: [HOSTILE]}}
        ),
        "html",
    )
    page = Reader(raw)
    assert page.tags.count("script") == 3
    assert not {"img", "i", "b", "u"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "<script>alert(1)</script>" in page.text
    assert "\x1b" not in raw


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "found", [[], [judged(cases(1)[0], "a", "agreement", Status.SKIPPED)]], ids=["empty", "skipped"]
)
def test_every_format_copes_with_a_run_of_nothing(tmp_path, format, found):
    assert export(make_run(tmp_path, found, {}), format)


@pytest.mark.parametrize("format", FORMATS)
def test_headers_of_any_shape_do_not_break_a_format(tmp_path, format):
    header = {
        "suite": [1],
        "asked": "none",
        "notes": "a note",
        "environment": {"packages": "none"},
        "planned": [["x"]],
        "git_revision": {"a": 1},
    }
    assert export(make_run(tmp_path, outcomes(1), header), format)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, -1.0, 1e-300, 1e300, "text", None])
def test_odd_speedups_do_not_break_a_format(tmp_path, value):
    case = cases(1)[0]
    odd = dict.fromkeys(("speedup", "speedup_low", "speedup_high", "median_ns", "peak_bytes", "first_call_ns"), value)
    found = [
        judged(case, "torch", "agreement"),
        timed(case, "torch", 1.0),
        judged(case, "a", "agreement"),
        timed(case, "a", 1.0, **odd),
    ]
    path = make_run(tmp_path, found)
    for format in FORMATS:
        assert export(path, format)


def test_markdown_has_its_sections_and_tables_of_equal_width(tmp_path):
    text = export(make_run(tmp_path, [*outcomes(50), *hostile_outcomes()]), "markdown")
    for section in (
        "Summary",
        "Correctness",
        "Stability",
        "Speed",
        "Memory, first call and roofline",
        "Findings",
        "Declared differences",
        "Environment",
    ):
        assert f"## {section}\n" in text
    lines = text.splitlines()
    for above, below in pairwise(lines):
        if above.startswith("| ") and below.startswith("| "):
            assert above.count("|") == below.count("|")


def test_strangers_text_stays_text_in_markdown(tmp_path):
    text = export(make_run(tmp_path, hostile_outcomes()), "markdown")
    outside = "".join(part for place, part in enumerate(text.split("```")) if place % 2 == 0)
    assert "<script" not in outside
    assert "<img" not in outside
    assert inline("a|b `c` <i>\n[x](y)") == "a&#124;b &#96;c&#96; &lt;i&gt; &#91;x&#93;(y)"
    assert block("```\nrm").startswith("````text\n")


def test_csv_holds_the_rows_and_no_formula(tmp_path):
    rows = list(csv.DictReader(io.StringIO(export(make_run(tmp_path, hostile_outcomes()), "csv"))))
    assert len(rows) == 3
    assert {row["implementation"] for row in rows} == {HOSTILE, "torch", "'=cmd()"}


def test_json_is_standard_and_holds_header_and_rows(tmp_path):
    case = cases(1)[0]
    found = [judged(case, "a", "agreement", Status.FAILED, error=float("inf"), ratio=float("nan"))]
    content = json.loads(export(make_run(tmp_path, found), "json"), parse_constant=pytest.fail)
    assert content["header"]["suite"]["name"] == "cpu"
    assert len(content["rows"]) == 1
    assert content["rows"][0]["loss_error"] == "inf"
    assert content["rows"][0]["median_ns"] is None
    assert content["rows"][0]["timing_status"] == "not_run"


def test_an_unknown_format_names_those_allowed(tmp_path):
    with pytest.raises(UsageError, match="html, markdown, csv, json"):
        export(make_run(tmp_path, []), "pdf")


def test_elements_escape_text_and_attributes():
    assert (
        el("p", "<b>", title='"x"', data_f=1, hidden=True, lang=None)
        == '<p title="&quot;x&quot;" data-f="1" hidden>&lt;b&gt;</p>'
    )
    assert "</" not in data({"a": "</script><!--"})


def test_a_tile_shows_faults_before_all_else():
    assert tile({Status.PASSED: 3, Status.RAISED: 1, Status.FAILED: 1}) == (
        "bad",
        "✗ 2 of 5",
        "3 passed, 1 raised, 1 failed",
    )
    assert tile({Status.PASSED: 3}) == ("ok", "✓ 3", "3 passed")
    assert tile({Status.UNSUPPORTED: 2, Status.PASSED: 1})[0] == "ok"
    assert tile({}) == ("none", "", "")
