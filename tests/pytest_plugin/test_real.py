"""The plugin with real workers under pytest-xdist, judging functions of a user's own file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.pytest_plugin.conftest import PLUGINS

ROOT = Path(__file__).parents[2]
SUITE = """\
suite: mine
description: a user's own loss
baseline: torch
implementations: [torch, "losses.py:right", "losses.py:zero_off_target"]
checks: [agreement, gradient, stability]
cases:
  - {loss: cross_entropy, batch: 4, classes: 10, pass: forward_backward}
timing: {target_relative_width: 0.5, max_seconds_per_cell: 0.1}
"""


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-m", "pytest", *PLUGINS, "mine.yaml", "-rs", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, check=False, timeout=300
    )


def project(folder: Path, plugins: Path) -> Path:
    (folder / "mine.yaml").write_text(SUITE, encoding="utf-8")
    (folder / "losses.py").write_text((plugins / "losses.py").read_text(encoding="utf-8"), encoding="utf-8")
    return folder


def test_xdist_judges_in_parallel_and_leaves_timing_out_with_the_reason(tmp_path, plugins):
    done = run(project(tmp_path, plugins), "-n", "2")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "1 failed, 2 passed, 3 skipped" in done.stdout
    assert "not under pytest-xdist" in done.stdout
    assert "python -m harness check" in done.stdout
    assert "harness/under_pytest" not in done.stdout
