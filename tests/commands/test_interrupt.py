"""Ctrl-C in a real run: it ends cleanly, keeps what was measured, says how to go on, and going on finishes it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SUITE = """\
suite: stopped
description: small cells, enough of them to be stopped between
baseline: torch
implementations: [torch, log_softmax_nll]
checks: [agreement]
cases:
  - {loss: cross_entropy, batch: [2, 3, 4, 5, 6, 7, 8, 9], classes: [5, 17], pass: forward}
timing: none
"""


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "harness", "run", *arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip


def outcomes(folder: Path) -> list[tuple[str, ...]]:
    lines = map(json.loads, (folder / "cells.jsonl").read_text(encoding="utf-8").splitlines())
    return [(line["cell"], line["implementation"], line["kind"], line["check"]) for line in lines]


def test_ctrl_c_keeps_everything_and_tells_the_command_that_goes_on(tmp_path):
    (tmp_path / "stopped.yaml").write_text(SUITE, encoding="utf-8")
    with start("stopped.yaml", "--json", cwd=tmp_path) as running:
        told = 0
        while told < 5:
            told += json.loads(running.stdout.readline())["event"] == "outcome"
        os.killpg(running.pid, signal.SIGINT)  # a terminal sends it to the workers as well
        stdout, error = running.communicate(timeout=60)
    events = [json.loads(line) for line in stdout.splitlines()]
    assert running.returncode == 130
    assert "Traceback" not in error
    assert "everything measured is kept" in error
    assert events[-1]["event"] == "ended"
    assert events[-1]["exit_status"] == 130
    folder = Path(events[-1]["run"])
    kept = outcomes(tmp_path / folder)
    assert 5 <= len(kept) < 32
    assert json.loads((tmp_path / folder / "run.json").read_text(encoding="utf-8"))["interrupted"] is True

    command = next(line for line in error.splitlines() if "--resume" in line)
    with start(*shlex.split(command)[4:], "--json", cwd=tmp_path) as again:
        stdout, error = again.communicate(timeout=120)
    assert again.returncode == 0, error
    asked = [event for event in map(json.loads, stdout.splitlines()) if event["event"] == "outcome"]
    every = outcomes(tmp_path / folder)
    assert len(every) == len(set(every)) == 32
    assert len(asked) == 32 - len(kept)
    assert "summary" in error, "the closing report goes to standard error"
