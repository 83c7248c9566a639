"""A run folder is exclusive, appended to, and comes back whole."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from harness.core.case import Case
from harness.core.errors import RunFolderError
from harness.core.outcome import Outcome
from harness.core.status import Status
from harness.store import RunFolder, read_run, read_samples
from harness.store import files as store_files
from tests.report.synthetic import HEADER, cases, judged, make_run, outcomes, timed


def test_outcomes_come_back_as_they_were_written(tmp_path):
    found = outcomes(10)
    run = read_run(make_run(tmp_path, found))
    assert len(run.outcomes) == len(found)
    for old, new in zip(found, run.outcomes, strict=True):
        assert new.key == old.key
        assert (new.case, new.status, new.reason, new.traceback) == (old.case, old.status, old.reason, old.traceback)
        assert repr(dict(new.metrics)) == repr(dict(old.metrics))  # repr: NaN is unequal to itself
    assert run.notices == ()
    assert run.header["suite"] == HEADER["suite"]
    assert run.header["exit_status"] == 1


def test_numbers_that_json_lacks_are_written_as_text_and_read_back(tmp_path):
    outcome = judged(cases(1)[0], "a", "gradient", error=math.nan, budget=math.inf, found=[-math.inf, 1.0])
    path = make_run(tmp_path, [outcome], {**HEADER, "noise": math.nan})
    line = json.loads(
        (path / "cells.jsonl").read_text(), parse_constant=lambda name: pytest.fail(f"{name} in the file")
    )
    assert (line["metrics"]["error"], line["metrics"]["budget"], line["metrics"]["found"]) == (
        "nan",
        "inf",
        ["-inf", 1.0],
    )
    metrics = read_run(path).outcomes[0].metrics
    assert math.isnan(metrics["error"])
    assert metrics["budget"] == math.inf
    assert metrics["found"] == [-math.inf, 1.0]
    assert json.loads((path / "run.json").read_text())["noise"] == "nan"


def test_odd_text_survives_and_long_text_is_cut(tmp_path):
    reason = 'quotes " \\ newline\n  end \udc80 \x1b[31m'
    case = cases(1)[0]
    long = Outcome(case=case, implementation="b", kind="judged", check="agreement", status=Status.RAISED, reason="x",
                   traceback="start" + "y" * 10**6 + "end")  # fmt: skip
    odd = Outcome(case=case, implementation="a", kind="judged", check="agreement", status=Status.RAISED, reason=reason)
    first, second = read_run(make_run(tmp_path, [odd, long])).outcomes
    assert first.reason == reason.replace("\udc80", "?")
    assert second.traceback is not None
    assert len(second.traceback) < 20_000
    assert second.traceback.startswith("start")
    assert second.traceback.endswith("end")
    assert "characters left out" in second.traceback


def test_a_metric_that_is_no_json_value_is_refused_and_leaves_no_line(tmp_path):
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        with pytest.raises(TypeError, match="not object"):
            folder.append(judged(cases(1)[0], "a", "agreement", found=object()))
        with pytest.raises(TypeError, match="beyond 64 bits"):
            folder.append(judged(cases(1)[0], "a", "agreement", found=2**70))
        folder.append(judged(cases(1)[0], "a", "agreement"))
        assert len(folder.outcomes()) == 1


def test_the_same_key_twice_is_refused(tmp_path):
    case = cases(1)[0]
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        folder.append(judged(case, "a", "gradient"))
        folder.append(judged(case, "a", "gradient", variant="k=2"))
        with pytest.raises(RunFolderError, match="holds an outcome already"):
            folder.append(judged(case, "a", "gradient", Status.FAILED))
        assert folder.done == {(case.cell, "a", "judged", "gradient"), (f"{case.cell}#k=2", "a", "judged", "gradient")}


def test_two_runs_never_share_a_folder(tmp_path):
    folders = [RunFolder.create(tmp_path, "cpu", {}) for _ in range(20)]
    assert len({folder.path for folder in folders}) == 20
    assert (tmp_path / "latest").resolve() == folders[-1].path
    assert str((tmp_path / "latest").readlink()) == folders[-1].run_id
    for folder in folders:
        folder.close()


def test_the_suite_name_cannot_leave_the_folder_of_runs(tmp_path):
    with RunFolder.create(tmp_path / "out", "../../etc/pass wd\n", {}) as folder:
        assert folder.path.parent == tmp_path / "out"
        assert folder.run_id.count("/") == 0
        assert "etc-pass-wd" in folder.run_id


def test_the_header_cannot_set_what_the_store_sets(tmp_path):
    with pytest.raises(ValueError, match="run_id"):
        RunFolder.create(tmp_path, "cpu", {"run_id": "mine"})


def test_latest_is_a_text_file_where_links_are_refused(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise OSError(1, "no links here")

    monkeypatch.setattr(store_files.Path, "symlink_to", refuse)
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        assert (tmp_path / "latest").read_text().strip() == folder.run_id
        assert read_run(tmp_path / "latest").path == folder.path
        assert folder.notices == []


def test_latest_that_is_a_folder_is_left_alone_with_a_notice(tmp_path):
    (tmp_path / "latest" / "mine").mkdir(parents=True)
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        assert "left as it is" in folder.notices[0]
        assert (tmp_path / "latest" / "mine").is_dir()
        assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["latest", folder.run_id])


def test_only_the_documented_files_are_written(tmp_path):
    path = make_run(tmp_path)
    with RunFolder.resume(path) as folder:
        folder.write_report("report.html", "<!doctype html>")
        folder.write_report("report.md", "# run")
        with pytest.raises(ValueError, match=r"report\.html"):
            folder.write_report("../report.html", "")
    names = {file.name for file in path.iterdir()}
    assert names == {"run.json", "cells.jsonl", "samples.jsonl.gz", "report.html", "report.md"}


def test_a_closed_folder_takes_nothing(tmp_path):
    folder = RunFolder.create(tmp_path, "cpu", {})
    folder.close()
    folder.close()
    with pytest.raises(RunFolderError, match="closed"):
        folder.append(judged(cases(1)[0], "a", "agreement"))


def test_a_full_disk_leaves_no_torn_line(tmp_path, monkeypatch):
    case = cases(1)[0]
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        folder.append(judged(case, "a", "agreement"))
        real = os.write

        def half(descriptor, view):
            if len(view) <= 10:
                raise OSError(28, "No space left on device")
            return real(descriptor, bytes(view)[: len(view) // 2])

        monkeypatch.setattr(store_files.os, "write", half)
        with pytest.raises(RunFolderError, match="No space left"):
            folder.append(judged(case, "a", "gradient"))
        monkeypatch.undo()
        assert len(folder.done) == 1
        folder.append(judged(case, "a", "gradient"))
    run = read_run(folder.path)
    assert (len(run.outcomes), run.notices) == (2, ())


def test_a_live_run_cannot_be_resumed_but_can_be_read(tmp_path):
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        folder.append(judged(cases(1)[0], "a", "agreement"))
        code = textwrap.dedent(f"""
            from harness.core.errors import RunFolderError
            from harness.store import RunFolder, read_run
            print(len(read_run({str(folder.path)!r}).outcomes))
            try:
                RunFolder.resume({str(tmp_path / "latest")!r})
            except RunFolderError as error:
                print(error)
        """)
        lines = run_python(code).splitlines()
    assert lines[0] == "1"
    assert "in use by a run that is still going" in lines[1]
    with RunFolder.resume(folder.path) as resumed:
        assert len(resumed.done) == 1


def test_a_killed_run_leaves_its_lock_and_keeps_all_it_wrote(tmp_path):
    code = textwrap.dedent(f"""
        import os, signal
        from pathlib import Path
        from harness.store import RunFolder
        from tests.report.synthetic import cases, judged
        folder = RunFolder.create(Path({str(tmp_path)!r}), "cpu", {{}})
        for case in cases(5):
            folder.append(judged(case, "a", "agreement"))
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=Path.cwd(), check=False)
    assert done.returncode == -signal.SIGKILL
    with RunFolder.resume(tmp_path / "latest") as folder:
        assert len(folder.done) == 5
        assert folder.notices == []


def test_samples_come_back_and_the_last_of_a_cell_counts(tmp_path):
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        folder.append_samples("one", {"a": [1, 2], "b": [3, 4]}, {"a": 1, "b": 2})
        folder.append_samples("two", {"a": [5.5]}, {"a": 1})
        folder.append_samples("one", {"a": [7, 8, 9]}, {"a": 1})
    found = {item.cell: item for item in read_samples(tmp_path / "latest")}
    assert found["one"].samples_ns == {"a": (7, 8, 9)}
    assert found["one"].rounds == 3
    assert found["two"].samples_ns == {"a": (5.5,)}


def test_a_run_without_samples_has_none(tmp_path):
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        pass
    assert list(read_samples(folder.path)) == []


def test_the_store_imports_neither_torch_nor_numpy_nor_pandas():
    code = "import sys, harness.store; print([m for m in ('torch', 'numpy', 'pandas') if m in sys.modules])"
    assert run_python(code).strip() == "[]"


def test_2000_rows_stay_far_below_16_mib(tmp_path):
    case = Case(batch=8192, classes=262144, dtype="bfloat16", regime="confident", weight="uniform")
    with RunFolder.create(tmp_path, "cpu", {}) as folder:
        for check in ("agreement", "gradient", "stability"):
            folder.append(judged(case, "log_softmax_nll", check))
        folder.append(timed(case, "log_softmax_nll", 1.3))
    assert (folder.path / "cells.jsonl").stat().st_size * 2000 < 8 << 20


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
