"""The example project under docs/: it passes as it stands, and a planted bug fails it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pytest_plugin.conftest import PLUGINS

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "gate_in_ci"
CELL = "cross_entropy/256x1000/float32/cpu/normal/forward_backward/mean"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(EXAMPLE, tmp_path / "project"))


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "COLUMNS": "150"}
    command = [sys.executable, "-m", "pytest", *PLUGINS, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=folder, check=False, timeout=300
    )


def test_it_is_ten_lines_or_so():
    for name in ("my_loss.py", "loss.yaml"):
        assert len((EXAMPLE / name).read_text(encoding="utf-8").splitlines()) <= 10


def test_a_users_loss_is_judged_timed_and_shown_in_pytest_benchmarks_table(project):
    text = (project / "loss.yaml").read_text().replace("my_loss: 0.2", "my_loss: 0.001").replace(", confident", "")
    (project / "loss.yaml").write_text(text.replace("max_seconds_per_cell: 2", "max_seconds_per_cell: 0.2"))
    done = run(project, "loss.yaml", "--benchmark-json=out.json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"benchmark '{CELL}': 2 tests" in done.stdout
    assert "my_loss" in done.stdout
    assert (project / "out.json").stat().st_size > 1000


def test_a_planted_bug_fails_it_and_tells_region_budget_and_command(project):
    source = project / "my_loss.py"
    source.write_text(
        source.read_text().replace("torch.logsumexp(logits, dim=1)", "torch.logsumexp(logits[:, 1:], dim=1)")
    )
    done = run(project, "loss.yaml", "-m", "judged", "-k", "my_loss and normal")
    assert done.returncode == 1, done.stdout + done.stderr
    for piece in (
        "agreement",
        "budget",
        "region",
        "python -m harness check",
        "my_loss.py:my_loss --cell cross_entropy/",
    ):
        assert piece in done.stdout, piece
    assert "harness/under_pytest" not in done.stdout
