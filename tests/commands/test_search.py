"""``fuzz`` and ``repro`` end in scripts and commands that show the failure when they are run as printed."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from harness.cli import app
from harness.commands.check import check
from harness.commands.fuzz import fuzz
from harness.commands.repro import repro
from harness.core.case import Case, parse_cell
from harness.core.errors import UnknownReferenceError, UsageError
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT, Status
from harness.mutants.catalogue import mutants
from harness.runner.asked import Asked
from harness.runner.survey import survey
from harness.search.capture import reproduce
from harness.store import RunFolder
from harness.worker.process import ProcessWorkers

WRONG = """
import torch.nn.functional as F
from beside import scale


def last_class_heavier(logits, target, *, reduction="mean", label_smoothing=0.0):
    loss = F.cross_entropy(logits, target, reduction=reduction, label_smoothing=label_smoothing)
    return loss * scale(logits.shape[1]) if label_smoothing else loss
"""
BESIDE = "def scale(classes):\n    return 1.25 if classes > 6 else 1.0\n"
RAISES = """
import torch.nn.functional as F


def raises_above_six(logits, target, *, reduction="mean"):
    if logits.shape[1] > 6:
        raise RuntimeError("too many classes")
    return F.cross_entropy(logits, target, reduction=reduction)
"""
#: Runs a script as a program and says which modules named harness it had loaded.
RUNNER = """
import runpy, sys
code = 0
try:
    runpy.run_path(sys.argv[1], run_name="__main__")
except SystemExit as end:
    code = end.code
print("LOADED", [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "harness" and m.__file__])
sys.exit(code)
"""


def console() -> Console:
    return Console(file=io.StringIO(), width=250)


@pytest.fixture
def wrong(tmp_path: Path) -> str:
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "beside.py").write_text(BESIDE)
    return f"{tmp_path / 'wrong.py'}:last_class_heavier"


def shows(script: Path, folder: Path) -> str:
    """What the script prints when a plain python runs it in an empty folder; it must exit 1 without the harness."""
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUNNER, str(script)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    loaded = done.stdout.rpartition("LOADED")[2]
    assert str(Path(__file__).parents[2] / "harness") not in loaded
    return done.stdout


def test_what_fuzz_finds_is_small_and_its_script_and_command_show_it(
    wrong: str, tmp_path: Path, workers: ProcessWorkers
) -> None:
    told, out, kept = console(), tmp_path / "script.py", tmp_path / "found.json"
    code = fuzz(wrong, seconds=240, seed=1, device=None, out=out, json_path=kept, console=told, workers=workers)
    assert code == EXIT_FAULT
    found = json.loads(kept.read_text())["failure"]
    case = Case(batch=1, classes=7, label_smoothing=1.0)
    assert found["cell"].startswith(f"cross_entropy/1x7/float32/cpu/normal/{case.pass_}/mean/label_smoothing=")
    printed = shows(out, tmp_path / "empty")
    assert "found    " in printed
    assert "FAIL: " in printed
    command = shlex.split(found["metrics"]["reproduce"])
    again = subprocess.run(
        [sys.executable, *command[1:]], cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False
    )
    assert again.returncode == EXIT_FAULT, again.stdout + again.stderr
    assert "failed: last_class_heavier" in again.stdout


def test_fuzz_finds_nothing_wrong_with_what_is_right(tmp_path: Path, workers: ProcessWorkers) -> None:
    told = console()
    code = fuzz("torch", seconds=4, seed=0, device=None, out=None, json_path=None, console=told, workers=workers)
    assert code == EXIT_AS_EXPECTED
    assert "none failed (seed 0)" in told.file.getvalue()


def test_fuzz_refuses_what_it_cannot_search(tmp_path: Path, workers: ProcessWorkers) -> None:
    with pytest.raises(UsageError, match="above 0"):
        fuzz("torch", seconds=0, seed=0, device=None, out=None, json_path=None, console=console(), workers=workers)
    with pytest.raises(UnknownReferenceError, match="takes one implementation"):
        fuzz("*", seconds=1, seed=0, device=None, out=None, json_path=None, console=console(), workers=workers)


def run_of(folder: Path, reference: str, outcome: Outcome) -> Path:
    name = outcome.implementation
    listed = [{"name": name, "origin": "reference", "reference": reference}]
    with RunFolder.create(folder, "made", {"planned": {"cells": 1, "implementations": listed}}) as made:
        made.append(outcome)
        return made.path


def failed(case: Case, name: str, status: Status = Status.FAILED) -> Outcome:
    return Outcome(case=case, implementation=name, kind=JUDGED, check="agreement", status=status, reason="wrong")


def test_repro_prints_a_script_that_shows_the_numbers(wrong: str, tmp_path: Path) -> None:
    case = Case(batch=3, classes=9, label_smoothing=0.1, layout="padded", reduction="none")
    run = run_of(tmp_path / "results", wrong, failed(case, "last_class_heavier"))
    done = CliRunner().invoke(app, ["repro", str(run), case.cell])
    assert done.exit_code == EXIT_AS_EXPECTED, done.output
    script = tmp_path / "printed.py"
    script.write_text(done.stdout)
    assert "FAIL: off by more" in shows(script, tmp_path / "empty")


def test_repro_of_a_call_that_raises_raises(tmp_path: Path, workers: ProcessWorkers) -> None:
    (tmp_path / "raises.py").write_text(RAISES)
    case = Case(batch=3, classes=9)
    run = run_of(tmp_path / "r", f"{tmp_path / 'raises.py'}:raises_above_six", failed(case, "raises_above_six"))
    out, told = tmp_path / "script.py", console()
    assert repro(run, case.cell, implementation=None, check=None, out=out, console=told, workers=workers) == 0
    assert "FAIL: the call raises RuntimeError: too many classes" in shows(out, tmp_path / "empty")


def test_repro_of_what_is_right_by_now_says_so(wrong: str, tmp_path: Path, workers: ProcessWorkers) -> None:
    case = Case(batch=3, classes=9)
    run = run_of(tmp_path / "results", wrong, failed(case, "last_class_heavier"))
    told = console()
    out = tmp_path / "script.py"
    assert repro(run, case.cell, implementation=None, check=None, out=out, console=told, workers=workers) == EXIT_FAULT
    assert "asked again, it found nothing wrong" in told.file.getvalue()
    assert not out.exists()


def test_repro_of_a_cell_that_did_not_fail_names_those_that_did(wrong: str, tmp_path: Path) -> None:
    case = Case(batch=3, classes=9, label_smoothing=0.1)
    run = run_of(tmp_path / "results", wrong, failed(case, "last_class_heavier"))
    with pytest.raises(UnknownReferenceError, match="3x9"):
        repro(run, "cross_entropy/1x1/x", implementation=None, check=None, out=None, console=console())


@pytest.mark.parametrize("name", ["row_stride_assumed", "one_class_is_nan", "ignore_index_above_classes_raises"])
def test_scripts_of_checks_with_cells_of_their_own_show_the_call_behind_the_verdict(
    name: str, tmp_path: Path, workers: ProcessWorkers
) -> None:
    mutant = next(each for each in mutants() if each.name == name)
    told, kept = console(), tmp_path / "found.json"
    asked = Asked(implementations=(mutant.reference,), checks=mutant.caught_by, fail_fast=True)
    assert check("correctness", asked, json_path=kept, console=told, quiet=True, workers=workers) == EXIT_FAULT
    entry = next(each for each in json.loads(kept.read_text()) if each["status"] in ("failed", "raised"))
    (subject,) = survey(workers, (mutant.reference,), Path.cwd()).select((mutant.reference,))
    made = reproduce(subject, parse_cell(entry["cell"]), entry["check"], workers)
    assert made.shows, made.note
    script = tmp_path / "script.py"
    script.write_text(made.text or "")
    assert "FAIL: " in shows(script, tmp_path / "empty")


@pytest.mark.parametrize(
    ("reference", "check_name", "cell", "printed"),
    [
        ("crossings:probabilities_normalised", "grad_output",
         "6x11/float32/cpu/normal/forward_backward/none/target=probability", "grad_target at"),
        ("crossings:inference_mode_raises", "grad_output", "6x11/float32/cpu/normal/forward_backward/none",
         "the call raises RuntimeError"),
        ("ignored:negative_target_wraps", "targets", "6x30/float32/cpu/normal/forward_backward/mean/invalid=-1",
         "torch raises IndexError"),
        ("backward:probability_sum_forgotten", "grad_output",
         "6x11/float16/cpu/normal/forward_backward/none/target=probability", "no gradient with respect to the target"),
        ("layout:permuted_spatial_misread", "stability", "2x1x1/float32/cpu/normal/forward_backward/mean/layout=padded",
         "found    nan"),
        ("tiles:crashes_past_a_tile_edge", "agreement", "1x257/float32/cpu/normal/forward/mean",
         "the process that made the call ended with status -11"),
    ],
)  # fmt: skip
def test_scripts_show_gradients_of_other_inputs_modes_accepted_targets_strides_and_crashes(
    reference: str, check_name: str, cell: str, printed: str, tmp_path: Path, workers: ProcessWorkers
) -> None:
    (subject,) = survey(workers, (f"harness.mutants.{reference}",), Path.cwd()).select(
        (f"harness.mutants.{reference}",)
    )
    made = reproduce(subject, parse_cell(f"cross_entropy/{cell}"), check_name, workers)
    assert made.shows, made.note
    script = tmp_path / "script.py"
    script.write_text(made.text or "")
    assert printed in shows(script, tmp_path / "empty")
