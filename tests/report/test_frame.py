"""The frame has one row per cell and implementation, every column documented, nothing missing in silence."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from harness.core.case import Case
from harness.core.errors import RunFolderError
from harness.core.status import Status
from harness.report.columns import COLUMNS, columns_page
from harness.report.frame import load
from tests.report.synthetic import IMPLEMENTATIONS, cases, judged, make_run, outcomes, timed

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def frame(tmp_path_factory) -> pd.DataFrame:
    return load(make_run(tmp_path_factory.mktemp("results"), outcomes(50)))


def one(tmp_path, *found) -> pd.Series:
    frame = load(make_run(tmp_path, list(found)))
    assert len(frame) == 1
    return frame.iloc[0]


def test_columns_page_is_up_to_date():
    page = (ROOT / "docs" / "columns.md").read_text(encoding="utf-8")
    assert page == columns_page(), "run: python -m harness.report.columns > docs/columns.md"


def test_the_frame_has_exactly_the_documented_columns(frame):
    assert list(frame.columns) == [column.name for column in COLUMNS]
    kinds = {"int": "iu", "float": "f", "bool": "b"}
    for column in COLUMNS:
        found = frame[column.name].dtype
        if column.dtype == "category":
            assert found.name == "category", column.name
        elif column.dtype in kinds:
            assert found.kind in kinds[column.dtype], column.name


def test_one_row_per_cell_and_implementation(frame):
    assert len(frame) == 50 * len(IMPLEMENTATIONS) + 1
    assert not frame.duplicated(["run_id", "cell", "implementation"]).any()


def test_text_and_statuses_are_never_missing(frame):
    for column in COLUMNS:
        if column.dtype in ("text", "category"):
            assert not frame[column.name].isna().any(), column.name


def test_a_row_without_a_speed_says_why(frame):
    silent = frame[frame.median_ns.isna()]
    assert len(silent) > 0
    assert (silent.timing_status != "passed").all()
    assert (silent.timing_reason != "").all()


def test_statuses_and_grades_are_ordered(frame):
    worse = frame[frame.status > "declared"]
    assert set(worse.status) == {"failed", "unsupported"}
    assert (frame[frame.status == "failed"].status > "unsupported").all()
    assert frame.grade.cat.categories.tolist() == ["relative", "tight", "standard", "none"]
    assert frame["pass"].cat.ordered


def test_status_is_the_worst_over_the_checks(tmp_path):
    case = cases(1)[0]
    row = one(tmp_path, judged(case, "a", "agreement"), judged(case, "a", "gradient", Status.DECLARED),
              judged(case, "a", "gradient", Status.FAILED, variant="k"),
              judged(case, "a", "semantics", Status.UNSUPPORTED))  # fmt: skip
    assert (row.status, row.reason) == ("failed", "gradient is failed")
    assert (row.check_agreement, row.check_gradient, row.check_stability) == ("passed", "failed", "not_run")
    assert row.check_semantics == "unsupported"


def test_a_crash_while_timed_is_the_status_of_the_row_and_a_skip_is_not(tmp_path):
    case = cases(1)[0]
    crashed = one(tmp_path / "a", judged(case, "a", "agreement"), timed(case, "a", 1, Status.CRASHED, reason="SIGSEGV"))
    assert (crashed.status, crashed.timing_status, crashed.timing_reason) == ("crashed", "crashed", "SIGSEGV")
    skipped = one(tmp_path / "b", judged(case, "a", "agreement"), timed(case, "a", 1, Status.SKIPPED, reason="no time"))
    assert (skipped.status, skipped.timing_status) == ("passed", "skipped")
    only = one(tmp_path / "c", timed(case, "a", 1, Status.SKIPPED, reason="needs 31 GiB of 24"))
    assert (only.status, only.reason) == ("skipped", "needs 31 GiB of 24")


def test_accuracy_is_that_of_the_worst_ratio_and_the_weakest_grade(tmp_path):
    case = cases(1)[0]
    row = one(
        tmp_path,
        judged(case, "a", "agreement", ratio=0.5, error=1.0, grade="standard"),
        judged(case, "a", "agreement", variant="2", ratio=0.9, error=2.0, grade="relative"),
        judged(case, "a", "gradient", Status.FAILED, ratio=math.nan, error=math.nan, grade=None),
        judged(case, "a", "stability", value="grad_weight", ratio=0.1, error=7.0),
    )
    assert (row.loss_error, row.loss_grade, row.gradient_grade, row.grade) == (2.0, "standard", "tight", "standard")
    assert math.isnan(row.gradient_error)
    assert row.check_gradient == "failed"


def test_axes_come_from_the_cell(tmp_path):
    case = Case(batch=4, classes=10, dims=(2, 3), device="cuda:1", regime="captured:a/b.npz", ignored=0.5, seed=7,
                options=(("z_loss", 0.1),), pass_="backward")  # fmt: skip
    row = one(tmp_path, judged(case, "a", "agreement"))
    assert (row["shape"], row.dims, row.device, row.regime) == ("4x10x2x3", "2x3", "cuda:1", "captured:a/b.npz")
    assert (row.ignored, row.seed, row.options, row["pass"]) == (0.5, 7, '{"z_loss": 0.1}', "backward")


@pytest.mark.parametrize(
    "bad",
    [
        {"median_ns": "fast"},
        {"rounds": [1]},
        {"rounds": math.inf},
        {"peak_bytes": 1e300},
        {"converged": 3},
        {"speedup": True},
    ],
    ids=str,
)
def test_a_figure_of_the_wrong_type_is_left_out_with_a_notice(tmp_path, bad):
    case = cases(1)[0]
    frame = load(make_run(tmp_path, [judged(case, "a", "agreement"), timed(case, "a", 1.5, **bad)]))
    assert frame[next(iter(bad))].isna().all()
    assert next(iter(bad)) in frame.attrs["notices"][0]


def test_globs_lists_and_latest_load_each_run_once(tmp_path):
    paths = [make_run(tmp_path, outcomes(2)) for _ in range(3)]
    (tmp_path / "not_a_run").mkdir()
    (tmp_path / "note.txt").write_text("mine")
    frame = load(str(tmp_path / "*"))
    assert frame.run_id.nunique() == 3
    assert len(load([paths[0], str(tmp_path / "*")])) == len(frame)
    assert load(tmp_path / "latest").run_id.unique().tolist() == [paths[-1].name]
    assert set(frame.suite) == {"cpu"}
    assert set(frame.torch_version) == {"2.13.0"}


def test_nothing_to_load_is_an_error(tmp_path):
    for what in (tmp_path / "none", str(tmp_path / "none*"), []):
        with pytest.raises(RunFolderError):
            load(what)


def test_a_run_without_outcomes_gives_an_empty_frame(tmp_path):
    frame = load(make_run(tmp_path, []))
    assert len(frame) == 0
    assert list(frame.columns) == [column.name for column in COLUMNS]


def test_format_version_1_keeps_loading():
    frame = load(ROOT / "tests" / "data" / "run_v1")
    assert frame.groupby("implementation", observed=True).status.max().to_dict() == {
        "naive": "raised",
        "torch": "declared",
    }
    assert frame.speedup.notna().sum() == 1


def test_the_report_imports_no_torch():
    modules = "frame, terminal, markdown, page, export, columns"
    code = f"import sys\nfrom harness.report import {modules}\nprint('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_terminal_and_pages_import_no_pandas():
    code = "import sys\nfrom harness.report import terminal, markdown, page\nprint('pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
