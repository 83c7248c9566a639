"""Torn, hostile and newer files give a repair with a notice or a clear error, never a traceback."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from harness.core.errors import RunFolderError
from harness.core.status import Status
from harness.store import RunFolder, read_run, read_samples
from harness.store.lines import MAX_LINE_BYTES
from harness.store.samples import SAMPLES_FILE
from tests.report.synthetic import cases, judged, make_run, outcomes

GOLDEN = Path(__file__).parent.parent / "data" / "run_v1"


@pytest.fixture
def run(tmp_path) -> Path:
    return make_run(tmp_path, outcomes(3))


def test_a_last_line_torn_at_any_byte_is_repaired_and_the_run_goes_on(tmp_path):
    case, other = cases(2)
    path = make_run(tmp_path, [judged(case, "a", "agreement"), judged(other, "ä", "gradient")])
    file = path / "cells.jsonl"
    whole = file.read_bytes()
    start = whole.index(b"\n") + 1
    for cut in range(start, len(whole) + 1):
        file.write_bytes(whole[:cut])
        reread = read_run(path)
        with RunFolder.resume(path) as folder:
            complete = cut >= len(whole) - 1
            assert len(folder.done) == (2 if complete else 1)
            assert len(folder.notices) == (cut not in (start, len(whole)))
            assert len(reread.outcomes) == len(folder.done)
            if not complete:
                folder.append(judged(other, "ä", "gradient"))
        assert len(read_run(path).outcomes) == 2
        assert read_run(path).notices == ()


def test_samples_torn_at_any_byte_are_repaired(tmp_path):
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        folder.append_samples("one", {"a": list(range(50))}, {"a": 1})
        kept = (folder.path / SAMPLES_FILE).stat().st_size
        folder.append_samples("two", {"a": list(range(50))}, {"a": 1})
    file = folder.path / SAMPLES_FILE
    whole = file.read_bytes()
    for cut in range(kept, len(whole) + 1):
        file.write_bytes(whole[:cut])
        notices: list[str] = []
        assert next(s.cell for s in list(read_samples(folder.path, notices))) == "one"
        with RunFolder.resume(folder.path) as resumed:
            assert len(resumed.notices) == len(notices) == (cut not in (kept, len(whole)))
            resumed.append_samples("three", {"a": [1]}, {"a": 1})
        cells = [s.cell for s in read_samples(folder.path)]
        assert cells == (["one", "two", "three"] if cut == len(whole) else ["one", "three"])


def test_broken_samples_in_the_middle_cost_only_themselves(tmp_path):
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        for cell in ("one", "two", "three"):
            folder.append_samples(cell, {"a": [1, 2, 3]}, {"a": 1})
    file = folder.path / SAMPLES_FILE
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)
    notices: list[str] = []
    assert [s.cell for s in read_samples(folder.path, notices)] == ["one", "three"]
    assert len(notices) == 1


@pytest.mark.parametrize(
    "line",
    [
        {"cell": 5}, {"cell": "not a cell"}, {"cell": "a/1x-5/float32/cpu/normal/forward/mean"},
        {"implementation": None},
        {"kind": "other"}, {"check": []}, {"status": "great"}, {"status": 3}, {"reason": {}}, {"metrics": [1]},
        {"traceback": 7},
        {"cell": f"cross_entropy/{10**30}x5/float32/cpu/normal/forward/mean"}, {"metrics": {"error": 10**400}},
    ],
    ids=str,
)  # fmt: skip
def test_a_line_of_wrong_types_is_passed_over_with_a_notice(run, line):
    good = json.loads((run / "cells.jsonl").read_text().splitlines()[0])
    before = len(read_run(run).outcomes)
    with (run / "cells.jsonl").open("a") as stream:
        stream.write(json.dumps({**good, "implementation": "new", **line}) + "\n")
        stream.write(json.dumps({**good, "implementation": "after"}) + "\n")
    found = read_run(run)
    assert len(found.outcomes) == before + 1
    assert len(found.notices) == 1
    assert f"line {before + 1}" in found.notices[0]


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe\x00", b"null", b"[]", b"{", b"", b"\x00" * 100, b'{"a":' * 2000, b"[" * 100_000, b"9" * 5000],
    ids=lambda raw: repr(raw[:12]),
)
def test_a_line_of_garbage_is_passed_over_with_a_notice(run, raw):
    before = len(read_run(run).outcomes)
    with (run / "cells.jsonl").open("ab") as stream:
        stream.write(raw + b"\n")
    found = read_run(run)
    assert (len(found.outcomes), len(found.notices)) == (before, 1)
    with RunFolder.resume(run) as folder:
        assert len(folder.done) == before


def test_a_huge_line_is_passed_over_and_what_follows_is_read(run):
    before = len(read_run(run).outcomes)
    line = json.loads((run / "cells.jsonl").read_text().splitlines()[0])
    with (run / "cells.jsonl").open("a") as stream:
        stream.write(
            '{"x":"' + "y" * (2 * MAX_LINE_BYTES) + '"}\n' + json.dumps({**line, "implementation": "after"}) + "\n"
        )
    found = read_run(run)
    assert len(found.outcomes) == before + 1
    assert "longer than" in found.notices[0]


def test_many_bad_lines_give_few_notices(run):
    with (run / "cells.jsonl").open("a") as stream:
        stream.write("nonsense\n" * 500)
    assert len(read_run(run).notices) == 21


def test_a_repeated_key_counts_once(run):
    text = (run / "cells.jsonl").read_text()
    before = len(read_run(run).outcomes)
    (run / "cells.jsonl").write_text(text + text.splitlines()[0] + "\n")
    found = read_run(run)
    assert len(found.outcomes) == before
    assert "repeats an earlier key" in found.notices[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"format_version": 2}', "a newer harness wrote it"), (b"{}", "no format_version"),
        (b'{"format_version": "1"}', "no format_v"), (b'{"format_version": true}', "no format_version"),
        (b"[]", "no JSON object"), (b"\xff", "not UTF-8"), (b"", "not JSON"),
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_understood_is_refused(run, content, message):
    (run / "run.json").write_bytes(content)
    for read in (read_run, RunFolder.resume):
        with pytest.raises(RunFolderError, match=message):
            read(run)


def test_a_folder_that_is_no_run_is_refused_with_a_hint(tmp_path):
    make_run(tmp_path, outcomes(1))
    with pytest.raises(RunFolderError, match=r"did you mean .*latest"):
        read_run(tmp_path)
    with pytest.raises(RunFolderError, match="there is no run folder"):
        read_run(tmp_path / "nowhere")
    with pytest.raises(RunFolderError, match="no run folder"):
        read_run(tmp_path / "latest" / "run.json")


@pytest.mark.parametrize("name", ["run.json", "cells.jsonl", SAMPLES_FILE])
def test_links_pipes_and_folders_in_place_of_files_are_refused(run, tmp_path, name):
    secret = tmp_path / "secret"
    secret.write_bytes(b"keep me\n")
    for make in (lambda p: p.symlink_to(secret), os.mkfifo, lambda p: p.mkdir()):
        moved = (run / name).rename(tmp_path / "aside")
        make(run / name)
        for use in (lambda: RunFolder.resume(run), lambda: (read_run(run), list(read_samples(run)))):
            with pytest.raises(RunFolderError):
                use()
        (run / name).rmdir() if (run / name).is_dir() else (run / name).unlink()
        moved.rename(run / name)
    assert secret.read_bytes() == b"keep me\n"


def test_latest_as_text_cannot_name_a_folder_elsewhere(run, tmp_path):
    for name in ("../elsewhere", "/etc", "..", "", "a\0b"):
        (tmp_path / "latest").unlink()
        (tmp_path / "latest").write_text(name)
        with pytest.raises(RunFolderError):
            read_run(tmp_path / "latest")


def test_writing_a_report_replaces_a_link_instead_of_following_it(run, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("keep me")
    (run / "report.html").symlink_to(secret)
    with RunFolder.resume(run) as folder:
        folder.write_report("report.html", "page")
    assert secret.read_text() == "keep me"
    assert (run / "report.html").read_text() == "page"


def test_a_gzip_bomb_among_the_samples_is_passed_over(run):
    with (run / SAMPLES_FILE).open("ab") as stream:
        stream.write(gzip.compress(b"0" * (65 << 20), mtime=0))
    before = list(read_samples(run))
    assert before
    with RunFolder.resume(run) as folder:
        assert any(SAMPLES_FILE in notice for notice in folder.notices)
    assert list(read_samples(run)) == before


def test_format_version_1_keeps_loading():
    run = read_run(GOLDEN)
    assert run.run_id == "20260101T000000Z-cpu-0a1b2c"
    assert run.notices == ()
    assert len(run.outcomes) == 9
    assert {outcome.status for outcome in run.outcomes} == {
        Status.PASSED,
        Status.FAILED,
        Status.DECLARED,
        Status.RAISED,
        Status.SKIPPED,
    }
    assert run.outcomes[0].case.classes == 32000
    assert [samples.cell for samples in read_samples(GOLDEN)] == [run.outcomes[0].cell]
