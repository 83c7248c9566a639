"""``check`` of a file with several callables judges each on its own, whatever another of them does to its process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from harness.commands.check import check
from harness.core.case import Case
from harness.runner.asked import Asked
from harness.suite.load import load_suite
from harness.worker.process import ProcessWorkers

SOURCE = """
import ctypes
import os

import torch.nn.functional as F


def right(logits, target, *, reduction="mean"):
    return F.cross_entropy(logits, target, reduction=reduction)


def segfaults(logits, target, *, reduction="mean"):
    ctypes.string_at(0)


def loops(logits, target, *, reduction="mean"):
    while True:
        pass


def ends_the_process(logits, target, *, reduction="mean"):
    os._exit(0)


def off(logits, target, *, reduction="mean"):
    return F.cross_entropy(logits, target, reduction=reduction) * 1.001
"""
SUITE = """suite: small
description: one cell
baseline: torch
implementations: [torch]
checks: [agreement, gradient, stability]
cases:
  - {loss: cross_entropy, batch: 4, classes: 6, dtype: float32, device: cpu, reduction: [mean, none]}
timing: none
limits: {seconds_per_call: 3}
"""
STATUSES = {
    "segfaults": {"crashed"}, "loops": {"timed_out"}, "right": {"passed"}, "ends_the_process": {"crashed"},
    "off": {"failed", "passed"},
}  # fmt: skip


@pytest.fixture
def judged(tmp_path: Path, workers: ProcessWorkers) -> tuple[int, list[dict], str]:
    file, suite, kept = tmp_path / "several.py", tmp_path / "small.yaml", tmp_path / "found.json"
    file.write_text(SOURCE)
    suite.write_text(SUITE)
    told = Console(file=io.StringIO(), width=250)
    asked = Asked(implementations=tuple(f"{file}:{name}" for name in STATUSES))
    code = check(str(suite), asked, json_path=kept, console=told, quiet=False, workers=workers)
    return code, json.loads(kept.read_text()), told.file.getvalue()


def test_each_callable_gets_verdicts_of_its_own_and_faults_a_line_with_a_command(judged) -> None:
    code, entries, text = judged
    assert code == 1
    found = {name: {e["status"] for e in entries if e["implementation"] == name} for name in STATUSES}
    assert found == STATUSES
    cells = {Case(batch=4, classes=6, reduction=reduction).cell for reduction in ("mean", "none")}
    assert {e["cell"].partition("#")[0] for e in entries} == cells
    for entry in entries:
        assert {"implementation", "check", "cell", "status", "reason", "error", "budget"} <= set(entry)
        if entry["status"] not in ("passed", "skipped"):
            assert entry["reason"]
            head = f"{entry['status']}: {entry['implementation']} · {entry['check']} · {entry['cell']}: "
            assert head in text
            assert entry["reproduce"] in text


def test_the_suite_of_the_test_is_a_suite(tmp_path: Path) -> None:
    from harness.losses.catalogue import families

    (tmp_path / "small.yaml").write_text(SUITE)
    assert load_suite(tmp_path / "small.yaml", families()).limits.seconds_per_call == 3
