"""A training run has a cell of its own, its micro-batches share out the batch, and what is missing is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.case import parse_cell
from harness.core.errors import UsageError
from harness.losses.catalogue import families
from harness.suite.load import load_suite
from harness.suite.workloads import WORKLOADS, TrainingEntry
from harness.training import setup as module
from harness.training.running import capture_paths, setups
from harness.training.setup import LONGEST, PROGRAMS, image_classes, lengths, micro_batches, setups_of


def entry(workload: str, **changes: object) -> TrainingEntry:
    plain = TrainingEntry(
        workload=workload, steps=None, batch=None, learning_rate=None, accumulation=1, seeds=(0,), classes=(),
        folder=None, key="training[0]", line=1,
    )  # fmt: skip
    return replace(plain, **changes)


def test_the_suite_layer_knows_every_workload() -> None:
    assert set(WORKLOADS) == set(PROGRAMS)


def test_the_bundled_suite_asks_for_distinct_cells_that_read_back() -> None:
    found = setups(load_suite("training", families()), device=None, shard=None)
    cells = [setup.case.cell for setup in found]
    assert len(set(cells)) == len(cells) == 8
    assert all(parse_cell(setup.case.cell) == setup.case for setup in found)
    assert {setup.workload for setup in found} == set(WORKLOADS)


def test_shards_share_out_the_runs() -> None:
    suite = load_suite("training", families())
    whole = setups(suite, device=None, shard=None)
    parts = [setups(suite, device=None, shard=(part, 3)) for part in (1, 2, 3)]
    assert sorted(one.case.cell for part in parts for one in part) == sorted(one.case.cell for one in whole)


def test_settings_away_from_the_workloads_own_stand_in_the_cell() -> None:
    (setup,) = setups_of(entry("digits", steps=5, learning_rate=0.01, accumulation=2, seeds=(3,)), "cpu")
    assert setup.case.cell.endswith("/mean/accumulation=2/learning_rate=0.01/seed=3/steps=5")


def test_the_language_model_counts_padding_as_ignored_rows() -> None:
    (setup,) = setups_of(entry("language_model"), "cpu")
    kept = sum(lengths(setup.batch))
    assert setup.case.rows == setup.batch * LONGEST
    assert setup.case.ignored == 1 - kept / setup.case.rows > 0


@pytest.mark.parametrize(("batch", "count"), [(8, 1), (8, 2), (8, 8), (9, 4), (100, 3)])
def test_micro_batches_share_out_the_batch(batch: int, count: int) -> None:
    parts = micro_batches(batch, count)
    sizes = [end - begin for begin, end in parts]
    assert len(parts) == count
    assert [part for begin, end in parts for part in range(begin, end)] == list(range(batch))
    assert min(sizes) >= 1
    if 1 < count < batch:
        assert len(set(sizes)) > 1, "micro-batches of one size would not tell a mean of means from a mean"


def test_more_micro_batches_than_examples_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 4 examples"):
        micro_batches(3, 4)


@pytest.mark.parametrize(
    ("workload", "package"), [("digits", "scikit-learn"), ("images", "Pillow"), ("resnet18", "timm")]
)
def test_a_missing_package_is_named_with_the_line_to_type(
    workload: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    reason = setups_of(entry(workload), "cpu")[0].unavailable()
    assert reason is not None
    assert package in reason
    assert "pip install 'loss-harness[" in reason


def test_a_folder_without_two_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    with pytest.raises(UsageError, match=r"cats \(0 images\)"):
        image_classes(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        setups_of(entry("images", folder=str(tmp_path / "nowhere")), "cpu")
    with pytest.raises(UsageError, match="train-images-idx3-ubyte"):
        setups_of(entry("digits", folder=str(tmp_path)), "cpu")


def test_a_capture_of_several_runs_goes_into_a_file_for_each() -> None:
    one, two = setups_of(entry("linear", classes=(3, 5)), "cpu")
    assert capture_paths(Path("x.npz"), [one]) == {one: Path("x.npz")}
    assert len(set(capture_paths(Path("x.npz"), [one, two]).values())) == 2
    with pytest.raises(UsageError, match=r"\.npz"):
        capture_paths(Path("x.txt"), [one])
    with pytest.raises(UsageError, match="trains nothing"):
        capture_paths(Path("x.npz"), [])
