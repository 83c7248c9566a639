"""What a user sees of the command line: exit statuses, one clear error, no traceback, no torch in the parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def harness(*arguments: str, cwd: Path | None = None, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        cwd=cwd or ROOT,
        check=False,
    )


SMALL = """\
suite: small
description: one cell
baseline: torch
implementations: [torch]
cases:
  - {loss: cross_entropy, batch: 4, classes: 10, pass: [forward, forward_backward]}
timing: {target_relative_width: 0.5, max_seconds_per_cell: 0.1}
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return path


def test_help_names_the_commands():
    done = harness("--help")
    assert done.returncode == 0
    for command in ("run", "check", "list", "report"):
        assert command in done.stdout


def test_neither_help_nor_the_list_of_suites_imports_torch_or_pandas():
    code = (
        "import sys\nfrom harness import cli\nsys.argv = ['harness', 'list', 'suites']\n"
        "try:\n    cli.main()\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'pandas', 'triton', 'scipy'} & set(sys.modules), set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["run"], "run needs a suite"),
        (["run", "no-such-suite"], "no-such-suite"),
        (["run", "smok"], "smoke"),
        (["run", "smoke", "--shard", "3/2"], "I/N"),
        (["run", "smoke", "--device", "tpu"], "cpu, cuda, cuda:N, triton-interpreter"),
        (["run", "smoke", "--resume", "results/latest"], "goes with no suite"),
        (["run", "--resume", "nowhere"], "nowhere"),
        (["check", "no_such_file.py:loss"], "no such file"),
        (["check", "torhc"], "did you mean torch"),
        (["check", "torch", "--cell", "nonsense"], "not a cell id"),
        (["check", "torch", "--check", "agremeent"], "agreement"),
        (["list", "planets"], "allowed: implementations"),
        (["report", "nowhere"], "nowhere"),
        (["bogus"], "bogus"),
    ],
)
def test_bad_input_gets_one_clear_error_and_status_2(arguments, wanted):
    done = harness(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert wanted in done.stderr
    assert "Traceback" not in done.stdout + done.stderr


def test_an_unknown_implementation_in_a_suite_is_refused_before_anything_runs(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(SMALL.replace("implementations: [torch]", "implementations: [torch, tourch]"))
    done = harness("run", str(path), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "tourch" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_run_leaves_a_complete_folder_and_a_table(small, tmp_path):
    done = harness("run", str(small), "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stdout + done.stderr
    folder = tmp_path / "out" / "latest"
    assert {p.name for p in folder.iterdir()} == {
        "run.json",
        "cells.jsonl",
        "samples.jsonl.gz",
        "report.html",
        "report.md",
    }
    assert "4x10" in done.stdout
    lines = [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines} == {"passed"}
    assert {line["kind"] for line in lines} == {"judged", "timed"}


def test_a_suite_for_cuda_without_cuda_says_what_to_use_instead_and_exits_3(small, tmp_path):
    done = harness("run", str(small), "--device", "cuda", "--out", str(tmp_path / "out"))
    if "no CUDA device" not in done.stdout:
        pytest.skip("this machine has CUDA")
    assert done.returncode == 3
    assert "python -m harness run cpu" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "out" / "latest" / "cells.jsonl").read_text().splitlines()]
    assert {line["status"] for line in lines} == {"unavailable"}


def test_a_dry_run_runs_nothing(small, tmp_path):
    done = harness("run", str(small), "--dry-run", "--out", str(tmp_path / "out"))
    assert done.returncode == 0
    assert "nothing was run" in done.stdout
    assert not (tmp_path / "out").exists()


def test_check_judges_plain_functions_of_a_users_file(tmp_path, plugins):
    names = ["right", "drops_weights_from_mean", "zero_off_target", "no_maximum", "AsModule", "instance"]
    report = tmp_path / "out.json"
    done = harness(
        "check", *(f"{plugins / 'losses.py'}:{name}" for name in names), "--json", str(report), "--fail-fast"
    )
    assert done.returncode == 1, done.stdout + done.stderr
    entries = json.loads(report.read_text())
    assert all({"implementation", "check", "cell", "status", "reason", "error", "budget"} <= set(e) for e in entries)
    faults = {e["implementation"]: e for e in reversed(entries) if e["status"] in ("failed", "raised", "crashed")}
    assert set(faults) == {"drops_weights_from_mean", "zero_off_target", "no_maximum"}
    assert "weight=" in faults["drops_weights_from_mean"]["cell"]
    assert faults["zero_off_target"]["check"] == "gradient"
    assert faults["no_maximum"]["check"] in ("stability", "gradient")
    assert "python -m harness check" in done.stdout


def test_the_command_that_a_fault_prints_shows_the_fault_again(plugins):
    reference = f"{plugins / 'losses.py'}:no_maximum"
    done = harness("check", reference, "--cell", "cross_entropy/16x10/float32/cpu/wide/forward_backward/none")
    assert done.returncode == 1
    assert "stability" in done.stdout


def test_two_implementations_of_one_name_are_refused_with_both_files(tmp_path):
    folder = tmp_path / "implementations"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from harness import implementation\n"
        "@implementation('torch')\ndef mine(logits, target):\n    return logits.sum()\n"
    )
    done = harness("check", "torch", cwd=tmp_path)
    assert done.returncode == 2
    assert "mine.py" in done.stderr
    assert "torch_eager.py" in done.stderr


def test_a_plugin_that_breaks_at_import_breaks_nothing_else(tmp_path, plugins):
    folder = tmp_path / "implementations"
    folder.mkdir()
    (folder / "broken.py").write_text("import package_that_nobody_has\n")
    (folder / "exits.py").write_text("import os\nos._exit(1)\n")
    done = harness("list", "--json", "implementations", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {e["name"]: e for e in json.loads(done.stdout)["implementations"]}
    assert "package_that_nobody_has" in found["broken"]["reason"]
    assert "status 1" in found["exits"]["reason"]
    assert found["torch"]["available"]
