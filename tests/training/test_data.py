"""Data follow from the setup alone; a step's micro-batches hold what the whole step holds."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.core.errors import UsageError
from harness.training.data import IGNORED, SIDE, data_of, read_idx
from harness.training.setup import setups_of, vocabulary
from tests.training.test_setup import entry


def write_idx(path: Path, values: np.ndarray) -> None:
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    raw = head + values.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)


@pytest.fixture
def mnist(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, count, ending in (("train", 40, ".gz"), ("t10k", 12, "")):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte{ending}", random.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte{ending}", random.integers(0, 10, count))
    return tmp_path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name, bright in (("dark", 40), ("light", 200)):
        (tmp_path / name).mkdir()
        for index in range(8):
            pixels = random.integers(bright, bright + 20, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.{'png' if index % 2 else 'jpg'}")
    return tmp_path


@pytest.mark.parametrize("workload", ["linear", "digits", "language_model"])
def test_accumulated_steps_hold_the_targets_of_the_whole_step(workload: str) -> None:
    (setup,) = setups_of(entry(workload, accumulation=2, steps=3), "cpu")
    data = data_of(setup)
    for micros, (whole,) in zip(data.steps, data.whole, strict=True):
        assert len(micros) == 2
        assert sum(micro.kept for micro in micros) == whole.kept
        together = torch.cat([micro.target[micro.target != IGNORED] for micro in micros])
        assert torch.equal(together, whole.target[whole.target != IGNORED])


def test_the_same_setup_gives_the_same_data_and_another_seed_others() -> None:
    one, other = setups_of(entry("linear", seeds=(0, 1), steps=2), "cpu")
    assert torch.equal(data_of(one).whole[0][0].inputs, data_of(one).whole[0][0].inputs)
    assert not torch.equal(data_of(one).whole[0][0].inputs, data_of(other).whole[0][0].inputs)


def test_a_language_model_reads_each_letter_and_is_asked_for_the_next() -> None:
    (setup,) = setups_of(entry("language_model", accumulation=2, steps=1), "cpu")
    long, short = data_of(setup).steps[0]
    assert long.inputs.shape[1] > short.inputs.shape[1], "each micro-batch is padded to its own longest sequence"
    rows = long.target.view(long.inputs.shape)
    assert torch.equal(rows[0, :-1], long.inputs[0, 1:])
    assert int((short.target == IGNORED).sum()) > 0
    assert int(long.target.max()) < len(vocabulary()) == setup.classes


def test_images_are_read_from_a_folder_of_two_classes(pictures: Path) -> None:
    (setup,) = setups_of(entry("images", folder=str(pictures), steps=2, batch=4), "cpu")
    data = data_of(setup)
    assert data.whole[0][0].inputs.shape == (4, 1, SIDE, SIDE)
    means = data.test.inputs.mean((1, 2, 3))
    assert bool(((means > 0.5).long() == data.test.target).all())


def test_mnist_is_read_from_a_folder(mnist: Path) -> None:
    (setup,) = setups_of(entry("digits", folder=str(mnist), steps=2, batch=4), "cpu")
    data = data_of(setup)
    assert data.whole[0][0].inputs.shape == (4, 784)
    assert 0 <= float(data.test.inputs.min()) <= float(data.test.inputs.max()) <= 1
    assert len(data.test.target) == 12


def test_a_file_that_is_no_idx_file_is_refused(mnist: Path) -> None:
    path = mnist / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UsageError, match="holds 11 bytes"):
        read_idx(mnist, "t10k-labels-idx1")
    path.write_bytes(b"text")
    with pytest.raises(UsageError, match="does not begin"):
        read_idx(mnist, "t10k-labels-idx1")
    path.unlink()
    with pytest.raises(UsageError, match="has no file"):
        read_idx(mnist, "t10k-labels-idx1")
