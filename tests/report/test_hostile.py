"""Run folders from strangers: whatever stands in them, a clear error or a report, and nothing outside is touched."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

import harness
from harness.commands.choose import choose as choose_command
from harness.commands.compare import compare as compare_command
from harness.commands.report import report as report_command
from harness.core.errors import HarnessError
from harness.report.export import FORMATS, export
from harness.report.gate import compare_runs, side_of
from harness.report.github import annotations, step_summary
from harness.report.terminal import closing_text
from harness.store import read_run, read_samples
from harness.suite.model import Gate
from tests.report.synthetic import HEADER, HOSTILE, make_run, outcomes

NASTY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.sampled_from([2**62, -(2**63), 10**30, 0, -1]),
    st.floats(), st.sampled_from(["nan", "inf", "-inf", "", HOSTILE, "../../etc/passwd", "=1+1", "\u202e", "a" * 5000]),
    st.text(max_size=8), st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=4), max_size=3),
)  # fmt: skip
READERS = [name for name in FORMATS if name != "parquet"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("base"), outcomes(2), {**HEADER, **MORE})


#: What a real header has beside: every part of it is read by some section of a report.
MORE: dict[str, Any] = {
    "settings": {"threads": 2}, "devices": {"cuda": []}, "selfcheck": {"cpu": {"passed": True, "reason": ""}},
    "ceilings": {"cpu": {"memory": {"best": 1e10}}},
    "semantics": {"torch": {"cpu": {"no rows, mean": "NaN"}}},
    "planned": {"cells": 6, "implementations": [{"name": "torch", "expect": {"gradient": "why"}}]},
}  # fmt: skip


def spots(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested mappings and lists."""
    found = [path] if path else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += spots(item, (*path, key))
    return found


def spoil(draw: Any, values: dict[str, Any], times: int) -> dict[str, Any]:
    """``values`` with some of what is in it replaced or taken out."""
    spoilt = copy.deepcopy(values)
    for _ in range(times):
        places = spots(spoilt)
        if not places:
            break
        *way, last = draw(st.sampled_from(places))
        inside: Any = spoilt
        for key in way:
            inside = inside[key]
        if draw(st.booleans()) or isinstance(inside, list):
            inside[last] = draw(NASTY)
        else:
            del inside[last]
    return spoilt


def dumps(values: Any) -> bytes:
    return json.dumps(values).encode("utf-8", "replace")  # NaN and huge numbers as Python writes them


@st.composite
def spoilt_runs(draw: Any, header: dict[str, Any], lines: list[dict[str, Any]]) -> tuple[bytes, bytes, bytes]:
    """Bytes of run.json, cells.jsonl and samples of a run that a stranger has been at."""
    head = {"format_version": 1, **spoil(draw, header, draw(st.integers(0, 3)))}
    chosen = draw(st.sets(st.integers(0, len(lines) - 1), max_size=4))
    kept = [dumps(spoil(draw, line, 2) if place in chosen else line) for place, line in enumerate(lines)]
    cells = b"\n".join(kept) + draw(st.sampled_from([b"\n", b"", b'\n{"cell": "torn', b"\n\x00\xff\n"]))
    return dumps(head), cells, draw(st.sampled_from([b"", b"\x1f\x8bgarbage", b"plain"]) | st.binary(max_size=40))


def everything(path: Path, other: Path) -> None:
    """All that reads a run folder."""
    for name in READERS:
        text = str(export(path, name))
        if name in ("html", "markdown"):
            assert "<script>alert" not in text
            assert "<img src=x" not in text
    run = read_run(path)
    assert max(map(len, closing_text(run).splitlines()), default=0) < 10_000
    step_summary(run)
    list(annotations(run))
    frame = harness.load(path)
    for table in (harness.speedup(frame), harness.accuracy(frame), harness.choose(frame, max_ulp=8).winners):
        assert isinstance(str(table), str)
    harness.samples(path)
    str(harness.compare(harness.load(other), frame))
    compare_runs(side_of(run, read_samples(path)), side_of(read_run(other), read_samples(other)), Gate())


@pytest.mark.filterwarnings("error")
@settings(
    max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True,
    phases=(Phase.explicit, Phase.generate),  # a report takes too long for shrinking
)  # fmt: skip
@given(data=st.data())
def test_whatever_stands_in_a_run_folder_is_reported_or_refused(base, tmp_path_factory, data):
    header = json.loads((base / "run.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (base / "cells.jsonl").read_text(encoding="utf-8").splitlines()]
    head, cells, samples = data.draw(spoilt_runs(header, lines))
    folder = tmp_path_factory.mktemp("spoilt")
    for name, content in (("run.json", head), ("cells.jsonl", cells), ("samples.jsonl.gz", samples)):
        (folder / name).write_bytes(content)
    try:
        everything(folder, base)
    except HarnessError as error:
        told = str(error)
    else:
        told = ""
    finally:
        shutil.rmtree(folder)
    assert "Traceback" not in told


@pytest.mark.parametrize("name", ["run.json", "cells.jsonl", "samples.jsonl.gz"])
def test_a_link_out_of_the_folder_is_refused_and_what_it_leads_to_never_read(base, tmp_path, name):
    folder = Path(shutil.copytree(base, tmp_path / "run"))
    secret = tmp_path / "secret"
    (folder / name).rename(secret)
    (folder / name).symlink_to(secret)
    if name == "samples.jsonl.gz":
        with pytest.raises(HarnessError, match="symbolic link"):
            harness.samples(folder)
        return
    for read in (harness.load, read_run, lambda path: export(path, "html")):
        with pytest.raises(HarnessError, match="symbolic link"):
            read(folder)


@pytest.mark.parametrize("name", ["report.html", "report.md"])
def test_a_report_replaces_a_link_in_the_folder_and_leaves_alone_what_it_leads_to(base, tmp_path, name):
    folder = Path(shutil.copytree(base, tmp_path / "run"))
    precious = tmp_path / "precious"
    precious.write_text("mine", encoding="utf-8")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(precious)
    report_command(folder, "html", None, Console(quiet=True))
    assert precious.read_text(encoding="utf-8") == "mine"
    if name == "report.html":
        assert not (folder / name).is_symlink()
        assert "<!doctype html>" in (folder / name).read_text(encoding="utf-8")


def test_a_newer_format_is_refused_by_every_command_with_one_clear_error(base, tmp_path):
    folder = Path(shutil.copytree(base, tmp_path / "run"))
    header = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    (folder / "run.json").write_text(json.dumps({**header, "format_version": 99}), encoding="utf-8")
    console = Console(quiet=True)
    for command in (
        lambda: report_command(folder, "html", None, console),
        lambda: compare_command([base, folder], console=console),
        lambda: choose_command(folder, console=console),
        lambda: harness.load(folder),
        lambda: harness.samples(folder),
    ):
        with pytest.raises(HarnessError, match="newer"):
            command()


def test_a_name_that_looks_like_markup_or_a_formula_stays_text_in_every_format(tmp_path):
    names = ("torch", "=cmd|' /C calc'!A0", "<b>bold</b>", "[link](javascript:alert(1))", "a|b")
    path = make_run(tmp_path, outcomes(6, names))
    assert "<b>bold" not in str(export(path, "html"))
    assert "](javascript" not in str(export(path, "markdown"))
    table = pd.read_csv(tmp_path / "out.csv") if (tmp_path / "out.csv").write_text(str(export(path, "csv"))) else None
    assert table is not None
    assert "'=cmd|' /C calc'!A0" in set(table["implementation"])
