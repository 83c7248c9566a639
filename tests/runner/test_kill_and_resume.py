"""SIGKILL of the parent in mid-run, then ``--resume``: nothing lost, nothing run twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SUITE = """\
suite: killed
description: small cells, enough of them to be killed between
baseline: torch
implementations: [torch, log_softmax_nll]
checks: [agreement, gradient, stability]
cases:
  - loss: cross_entropy
    batch: [2, 3, 4, 5, 6, 7]
    classes: [5, 17]
    pass: [forward, forward_backward]
timing: {target_relative_width: 0.5, max_seconds_per_cell: 0.05}
"""


def start(arguments: list[str], cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "harness", "run", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def keys(folder: Path) -> list[tuple[str, str, str, str]]:
    lines = (folder / "cells.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    return [(r["cell"], r["implementation"], r["kind"], r["check"]) for r in records]


def wait_for_lines(out: Path, count: int, deadline_s: float) -> None:
    deadline = time.monotonic() + deadline_s
    while time.monotonic() < deadline:
        files = list(out.glob("2*/cells.jsonl"))
        if files and files[0].read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"no {count} outcomes within {deadline_s} s")


def children_of(pid: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.add(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    """Whether the process runs on; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_killed_run_is_resumed_to_the_same_cells_as_an_undisturbed_one(tmp_path):
    suite = tmp_path / "killed.yaml"
    suite.write_text(SUITE)
    undisturbed = start([str(suite), "--out", str(tmp_path / "whole")], tmp_path)
    output, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, output
    expected = keys((tmp_path / "whole" / "latest").resolve())

    killed = start([str(suite), "--out", str(tmp_path / "killed")], tmp_path)
    wait_for_lines(tmp_path / "killed", len(expected) // 3, 120)
    descendants = children_of(killed.pid) | {g for c in children_of(killed.pid) for g in children_of(c)}
    killed.send_signal(signal.SIGKILL)
    killed.communicate(timeout=30)
    folder = (tmp_path / "killed" / "latest").resolve()
    kept = keys(folder)
    assert 0 < len(kept) < len(expected)

    resumed = start(["--resume", str(folder)], tmp_path)
    output, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, output
    found = keys(folder)
    assert found[: len(kept)] == kept
    assert len(found) == len(set(found))
    assert set(found) == set(expected)
    assert not [pid for pid in descendants if alive(pid)]
