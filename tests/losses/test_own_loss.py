"""A loss of the user's own, as docs/add_a_loss.md declares it, in a folder outside the project."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

WANTED = ("agreement", "gradient", "stability", "options", "side_effects")
DOCS = Path(__file__).parents[2] / "docs" / "add_a_loss.md"


def _block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found.group(1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "margin.py").write_text(_block("python"), encoding="utf-8")
    (tmp_path / "margin.yaml").write_text(_block("yaml"), encoding="utf-8")
    return tmp_path


def _harness(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "harness", *words]
    here = {**os.environ, "PYTHONPATH": str(DOCS.parents[1])}
    return subprocess.run(command, cwd=folder, env=here, capture_output=True, text=True, check=False, timeout=300)


def test_a_declared_loss_and_its_implementations_are_judged_and_a_wrong_one_is_caught(folder: Path) -> None:
    with (folder / "margin.py").open("a", encoding="utf-8") as file:
        file.write(
            "\n\n@harness.implementation('no_margin', loss='margin_loss')\n"
            "def no_margin(scores, target, *, margin=1.0, reduction='mean'):\n"
            "    return vectorised(scores, target, margin=0.0, reduction=reduction)\n"
        )
    checks = [word for name in WANTED for word in ("--check", name)]
    done = _harness(folder, "check", "margin.py", *checks, "--json", "found.json")
    assert done.returncode == 1, done.stderr
    found = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    faults = {one["implementation"] for one in found if one["status"] not in ("passed", "unsupported")}
    assert faults == {"no_margin"}
    judged = {one["check"] for one in found if one["implementation"] == "row_loop" and one["status"] == "passed"}
    assert judged == set(WANTED)


def test_a_suite_of_a_declared_loss_is_judged_and_timed(folder: Path) -> None:
    done = _harness(folder, "run", "margin.yaml", "--out", "results")
    assert done.returncode == 0, done.stdout + done.stderr
    (cells,) = (folder / "results").glob("*-margin-*/cells.jsonl")
    outcomes = [json.loads(line) for line in cells.read_text(encoding="utf-8").splitlines()]
    timed = [one for one in outcomes if one["kind"] == "timed" and one["status"] == "passed"]
    assert {one["implementation"] for one in timed} == {"row_loop", "vectorised"}
    assert {one["cell"].split("/")[0] for one in timed} == {"margin_loss"}


def test_a_declaration_that_cannot_be_read_says_what_is_allowed(folder: Path) -> None:
    text = (folder / "margin.py").read_text(encoding="utf-8").replace('"scores": "logits"', '"scores": "numbers"')
    (folder / "margin.py").write_text(text, encoding="utf-8")
    done = _harness(folder, "check", "margin.py")
    assert done.returncode == 2
    assert "logits, log_probabilities, probabilities" in done.stdout + done.stderr
