"""Training as a whole: right losses pass, wrong ones and those that break are told apart, and nothing else suffers."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import harness
from harness.commands.run import run
from harness.core.outcome import Outcome
from harness.core.status import Status
from harness.inputs.capture import load_capture
from harness.runner.asked import Asked
from harness.store import read_run
from harness.worker.process import ProcessWorkers

HEAD = "suite: mine\ndescription: d\nimplementations: [torch]\ntraining:\n"
MUTANT = "harness.mutants.reduction:mean_counts_ignored_if_negative"


def trained(
    folder: Path,
    workers: ProcessWorkers,
    entries: Sequence[str],
    references: Sequence[str],
    capture: Path | None = None,
) -> tuple[int, dict[str, Outcome], Path]:
    """(exit status, outcome by implementation and accumulation, run folder)."""
    path = folder / "mine.yaml"
    path.write_text(HEAD + "".join(f"  - {entry}\n" for entry in entries))
    asked = Asked(implementations=tuple(references), capture=None if capture is None else str(capture))
    console = Console(file=io.StringIO(), width=200)
    code = run(str(path), asked, out=folder / "runs", dry_run=False, console=console, quiet=True, workers=workers)
    made = folder / "runs" / "latest"
    found = {}
    for outcome in read_run(made).outcomes:
        times = dict(outcome.case.options).get("accumulation", "")
        found[f"{outcome.implementation} {times}".strip()] = outcome
    return code, found, made


def test_right_losses_pass_and_what_breaks_is_charged_to_its_cause(
    tmp_path: Path, workers: ProcessWorkers, plugins: Path
) -> None:
    own = [f"{plugins / 'training.py'}:{name}" for name in (
        "ends_the_process", "raises_later", "not_reduced", "slightly_large", "half_the_rows",
    )]  # fmt: skip
    references = ["torch", "naive", "log_softmax_nll", *own]
    code, found, folder = trained(tmp_path, workers, ["{workload: linear, steps: 20}"], references)
    assert code == 1
    for name in ("torch", "naive", "log_softmax_nll"):
        assert found[name].status is Status.PASSED, found[name].reason
        assert found[name].metrics["training_sees"] <= 1e-4
    assert found["ends_the_process"].status is Status.CRASHED
    assert "training step 3" in found["ends_the_process"].reason
    assert found["raises_later"].status is Status.RAISED
    assert "(step 3)" in found["raises_later"].reason
    assert "shape (32,)" in found["not_reduced"].reason
    assert found["slightly_large"].status is Status.FAILED
    assert "gradient norms" in found["slightly_large"].reason
    assert found["half_the_rows"].status is Status.FAILED
    assert "run " in found["half_the_rows"].metrics["reproduce"]
    assert "training.py:half_the_rows" in found["half_the_rows"].metrics["reproduce"]
    _reads_as_a_frame(folder)


def _reads_as_a_frame(folder: Path) -> None:
    frame = harness.load(folder).set_index("implementation")
    assert frame.loc["torch", "check_training"] == "passed"
    assert frame.loc["torch", "regime"] == "training:linear"
    assert frame.loc["torch", "training_steps"] == 20
    assert frame.loc["torch", "training_examples_per_s"] > 0
    assert frame.loc["torch", "training_peak_bytes"] > 0
    assert frame.loc["torch", "training_accuracy"] == frame.loc["torch", "training_baseline_accuracy"]
    assert np.isnan(frame.loc["raises_later", "training_ratio"])
    assert "Training against the oracle-backed baseline" in (folder / "report.md").read_text()
    assert 'id="training"' in (folder / "report.html").read_text()


def test_a_mean_that_divides_by_the_wrong_count_is_caught_where_there_is_padding(
    tmp_path: Path, workers: ProcessWorkers
) -> None:
    entries = ["{workload: language_model, steps: 6}", "{workload: language_model, steps: 6, accumulation: 2}"]
    code, found, _ = trained(tmp_path, workers, entries, ["torch", "naive", MUTANT])
    assert code == 1
    assert found["torch"].status is Status.PASSED
    assert found["torch 2"].status is Status.PASSED, "gradients added up over micro-batches equal the whole batch's"
    assert found["naive"].status is Status.UNSUPPORTED
    for name in ("mean_counts_ignored_if_negative", "mean_counts_ignored_if_negative 2"):
        assert found[name].status is Status.FAILED
        assert "step 0" in found[name].reason


def test_without_padding_that_mean_is_right(tmp_path: Path, workers: ProcessWorkers) -> None:
    code, found, _ = trained(tmp_path, workers, ["{workload: images, steps: 4}"], [MUTANT])
    assert code == 0
    assert found["mean_counts_ignored_if_negative"].status is Status.PASSED


FAKE_TIMM = """\
from torch import nn


def create_model(name, *, pretrained, num_classes):
    assert (name, pretrained) == ("resnet18", False)
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, stride=16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes)
    )
"""


def test_resnet18_is_a_workload_and_a_source_of_captures_where_timm_is_installed(
    tmp_path: Path, workers: ProcessWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "timm.py").write_text(FAKE_TIMM)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    entry = "{workload: resnet18, classes: 5, steps: 4, batch: 2}"
    code, found, _ = trained(tmp_path, workers, [entry], ["torch"], capture=tmp_path / "met.npz")
    assert code == 0
    assert found["torch"].status is Status.PASSED, found["torch"].reason
    capture = load_capture(f"captured:{tmp_path / 'met.npz'}")
    assert capture.logits.shape == (8, 5)


def test_one_class_has_no_loss_and_passes(
    tmp_path: Path, workers: ProcessWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "timm.py").write_text(FAKE_TIMM)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    code, found, _ = trained(tmp_path, workers, ["{workload: resnet18, classes: 1, steps: 2}"], ["torch"])
    assert code == 0
    assert found["torch"].metrics["training_final_loss"] == 0


def test_a_workload_that_cannot_run_here_is_unavailable_with_the_line_to_type(
    tmp_path: Path, workers: ProcessWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.training.setup.find_spec", lambda _: None)
    code, found, _ = trained(tmp_path, workers, ["{workload: resnet18, classes: [3]}"], ["torch"])
    assert code == 3
    assert found["torch"].status is Status.UNAVAILABLE
    assert "pip install 'loss-harness[vision]'" in found["torch"].reason
