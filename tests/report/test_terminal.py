"""The closing report: faults first, at most 100 columns, best and declared marked, strangers' text harmless."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from harness.core.case import Case
from harness.core.status import Status
from harness.report.terminal import MAX_FAULTS, closing_text, render_closing
from harness.store import read_run
from tests.report.synthetic import HOSTILE, IMPLEMENTATIONS, cases, judged, make_run, outcomes, timed


def closing(tmp_path, found, width=100) -> str:
    return closing_text(read_run(make_run(tmp_path, found)), width)


def copyable(line: str) -> bool:
    """Commands and cell ids stay on one line, so that they can be copied."""
    return "python -m harness" in line or line.startswith("    cross_entropy/")


@pytest.mark.parametrize("width", [80, 100, 200])
@pytest.mark.parametrize(
    "names", [IMPLEMENTATIONS, ("torch", *(f"package.module.sub:implementation_{n}" for n in range(9)))], ids=len
)
def test_tables_fit_100_columns(tmp_path, width, names):
    text = closing(tmp_path, outcomes(50, names), width)
    assert max(len(line) for line in text.splitlines() if not copyable(line)) <= min(width, 100)
    assert text.count("8192x262144") >= 10


def test_tables_fit_with_long_shapes_regimes_and_options(tmp_path):
    case = Case(batch=2**20, classes=262144, dims=(1024, 16), dtype="bfloat16", regime="captured:" + "long/" * 30,
                weight="uniform", ignored=0.25, label_smoothing=0.1, reduction="sum")  # fmt: skip
    found = [o for name in IMPLEMENTATIONS for o in (judged(case, name, "agreement"), timed(case, name, 123.456))]
    text = closing(tmp_path, found)
    assert max(len(line) for line in text.splitlines() if not copyable(line)) <= 100


def test_faults_come_first_with_the_command_that_shows_them_again(tmp_path):
    lines = closing(tmp_path, outcomes(50)).splitlines()
    assert lines[0] == "At fault: 2 verdicts"
    assert any(line.strip().startswith("python -m harness check naive --cell") for line in lines[:10])
    assert lines.index("summary") > 10


def test_many_faults_are_counted_not_all_printed(tmp_path):
    found = [judged(case, "a", "agreement", Status.FAILED) for case in cases(MAX_FAULTS + 7)]
    text = closing(tmp_path, found)
    assert f"At fault: {MAX_FAULTS + 7} verdicts" in text
    assert "and 7 more" in text


def test_speedup_carries_its_interval_and_the_best_and_declared_are_marked(tmp_path):
    case, text = cases(1)[0], ""
    found = [judged(case, name, "agreement") for name in ("torch", "slow", "fast", "near")]
    found.append(judged(case, "near", "gradient", Status.DECLARED))
    found += [
        timed(case, "torch", 1.0, median_ns=1234567.0, speedup_low=1.0, speedup_high=1.0),
        timed(case, "slow", 0.5, speedup_low=0.49, speedup_high=0.51),
        timed(case, "fast", 1.32, speedup_low=1.30, speedup_high=1.33),
        timed(case, "near", 1.31, speedup_low=1.29, speedup_high=1.32),
    ]
    text = closing(tmp_path, found)
    row = next(line for line in text.splitlines() if line.startswith("64x10"))
    assert "1.23 ms " in row
    assert "0.50× ±0.01 " in row
    assert "1.32× ±0.02*" in row
    assert "1.31× ±0.02†*" in row


def test_the_copy_stands_beside_the_baseline_as_the_speedup_that_is_to_be_had(tmp_path):
    case, other = cases(2)
    found = [judged(one, name, "agreement") for one in (case, other) for name in ("torch", "fast")]
    found += [timed(case, "torch", 1.0, copies=3.25, copy_ns=1e3, result_bytes=2**20), timed(case, "fast", 2.0)]
    found += [timed(other, "torch", 1.0), timed(other, "fast", 2.0)]
    text = closing(tmp_path, found)
    head, first, second = text.splitlines()[1:4]
    assert "copy" in head.split()
    assert "3.25×" in first
    assert "–" in second.split()
    assert "copy: a copy of the logits through autograd, timed in the same rounds" in text
    assert "1MiB" in text
    plain = closing(tmp_path / "none", [judged(case, "torch", "agreement"), timed(case, "torch", 1.0)])
    assert "copy" not in plain


def test_a_cell_without_speed_shows_its_status(tmp_path):
    case = cases(1)[0]
    found = [judged(case, "torch", "agreement"), timed(case, "torch", 1.0)]
    found += [judged(case, "a", "agreement", Status.UNSUPPORTED), judged(case, "b", "agreement", Status.RAISED)]
    found += [
        judged(case, "c", "agreement"),
        judged(case, "d", "agreement"),
        timed(case, "d", 1, Status.TIMED_OUT, reason="slow"),
    ]
    row = next(line for line in closing(tmp_path, found).splitlines() if line.startswith("64x10"))
    # what is unsupported in every cell has no column
    assert row.split()[-3:] == ["raised", "judged", "timed_out"]
    other = cases(2)[1]
    found += [judged(other, "a", "agreement"), judged(other, "torch", "agreement"), timed(other, "torch", 1.0)]
    row = next(line for line in closing(tmp_path / "more", found).splitlines() if line.startswith("64x10"))
    assert row.split()[-4:] == ["unsupported", "raised", "judged", "timed_out"]


def test_cells_on_the_interpreter_are_shown_as_judged_not_timed(tmp_path):
    text = closing(tmp_path, outcomes(10))
    section = text[text.index("cells judged, not timed") :]
    assert "triton-interpreter forward_backward fused_triton   1 passed" in section


def test_a_run_in_which_nothing_was_timed_has_no_speed_table(tmp_path):
    text = closing(tmp_path, [judged(cases(1)[0], "a", "agreement")])
    assert "speedup over" not in text
    assert "1 passed" in text


def test_an_empty_run_prints_no_traceback(tmp_path):
    assert "summary" in closing(tmp_path, [])


def test_names_of_strangers_are_neither_markup_nor_escape_sequences(tmp_path):
    case = Case(batch=4, classes=5, regime="captured:[/red]:smile:")
    found = []
    for name in ("torch", HOSTILE, "[/bold] [red]x", ":smile:", "x\nnewline\x1b]0;title\x07"):
        found += [
            judged(case, name, "agreement", Status.FAILED if name == HOSTILE else Status.PASSED),
            timed(case, name, 1.0),
        ]
    text = closing(tmp_path, found)
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[/bold] [red]x" in text
    assert ":smile:" in text
    assert "captured:[/red]:smile:" in text


def test_no_color_is_honoured_and_a_terminal_gets_colour(tmp_path, monkeypatch):
    run = read_run(make_run(tmp_path, outcomes(2)))
    for no_color, coloured in (("", True), ("1", False)):
        monkeypatch.setenv("NO_COLOR", no_color)
        stream = io.StringIO()
        render_closing(Console(file=stream, force_terminal=True, width=100, color_system="standard"), run)
        assert ("\x1b[1;32m" in stream.getvalue() or "\x1b[32m" in stream.getvalue()) is coloured


def test_notes_of_the_run_are_shown(tmp_path):
    assert "note: stale expectation of naive" in closing(tmp_path, outcomes(1))
