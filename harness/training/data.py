"""The data of each workload: every step's micro-batches in order, and what accuracy is counted on. Imports torch."""

from __future__ import annotations

import gzip
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from harness.core.errors import UsageError
from harness.inputs.capture import bundled_data
from harness.training.setup import LONGEST, Setup, corpus, image_classes, lengths, micro_batches, vocabulary

#: Target of what is padding.
IGNORED = -100
#: Side of an image as the network gets it.
SIDE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Micro:
    """One micro-batch: inputs, targets (rows,) and how many of them are not ignored."""

    inputs: Tensor
    target: Tensor

    @property
    def kept(self) -> int:
        """Rows that count."""
        return int((self.target != IGNORED).sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Steps, each a list of micro-batches (``whole``: the same step as one batch), and the held-out examples."""

    steps: tuple[tuple[Micro, ...], ...]
    whole: tuple[tuple[Micro, ...], ...]
    test: Micro


def data_of(setup: Setup) -> Data:
    """The data of ``setup``: a function of it alone, in float32, on its device."""
    if setup.workload == "language_model":
        return _sequences(setup)
    inputs, target, test = _EXAMPLES[setup.workload](setup)
    order = _order(len(target), setup)
    steps = [_micros(inputs, target, chosen, setup.accumulation, setup.device) for chosen in order]
    whole = [_micros(inputs, target, chosen, 1, setup.device) for chosen in order]
    held = Micro(inputs=test[0].to(setup.device), target=test[1].to(setup.device))
    return Data(steps=tuple(steps), whole=tuple(whole), test=held)


Examples = tuple[Tensor, Tensor, tuple[Tensor, Tensor]]


def _order(count: int, setup: Setup) -> list[Tensor]:
    """Which examples each step takes: a new shuffle for each pass over them."""
    generator = torch.Generator().manual_seed(setup.seed)
    needed, chosen = setup.batch * setup.steps, torch.empty(0, dtype=torch.int64)
    while len(chosen) < needed:
        chosen = torch.cat([chosen, torch.randperm(count, generator=generator)])
    return list(chosen[:needed].reshape(setup.steps, setup.batch))


def _micros(inputs: Tensor, target: Tensor, chosen: Tensor, count: int, device: str) -> tuple[Micro, ...]:
    parts = [chosen[begin:end] for begin, end in micro_batches(len(chosen), count)]
    return tuple(Micro(inputs=inputs[part].to(device), target=target[part].to(device)) for part in parts)


def _linear(setup: Setup) -> Examples:
    """Normal features with the class that a random linear map puts first, a tenth of them changed."""
    generator = torch.Generator().manual_seed(setup.seed)
    inputs = torch.randn(768, 10, generator=generator)
    target = (inputs @ torch.randn(10, setup.classes, generator=generator)).argmax(1)
    noise = torch.rand(768, generator=generator) < 0.1
    target = torch.where(noise, torch.randint(setup.classes, (768,), generator=generator), target)
    return inputs[:512], target[:512], (inputs[512:], target[512:])


def _digits(setup: Setup) -> Examples:
    if setup.folder:
        return _mnist(Path(setup.folder))
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(setup.seed).permutation(len(labels))
    inputs, target = torch.from_numpy(pixels[order] / 16).float(), torch.from_numpy(labels[order]).long()
    return inputs[:1437], target[:1437], (inputs[1437:], target[1437:])


def _mnist(folder: Path) -> Examples:
    found = [read_idx(folder, name) for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3")]
    labels = read_idx(folder, "t10k-labels-idx1")
    train, test = (torch.from_numpy(pixels / np.float32(255)).flatten(1) for pixels in (found[0], found[2]))
    target, test_target = (torch.from_numpy(values.astype(np.int64)) for values in (found[1], labels))
    return train, target, (test, test_target)


def read_idx(folder: Path, name: str) -> np.ndarray:
    """One file of MNIST (``NAME-ubyte``, or that with ``.gz``): a magic number, big-endian sizes, then bytes.

    Raises:
        UsageError: the file is not there, or has another form.
    """
    path = next((p for p in (folder / f"{name}-ubyte", folder / f"{name}-ubyte.gz") if p.is_file()), None)
    if path is None:
        raise UsageError(f"workload digits: {folder} has no file {name}-ubyte or {name}-ubyte.gz")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise UsageError(f"workload digits: {path} does not begin as an idx file of bytes does (00 00 08)")
    sizes = struct.unpack(f">{raw[3]}I", raw[4 : 4 + 4 * raw[3]])
    values = np.frombuffer(raw, dtype=np.uint8, offset=4 + 4 * raw[3])
    if len(values) != int(np.prod(sizes)):
        raise UsageError(f"workload digits: {path} holds {len(values)} bytes where its header says {sizes}")
    return values.reshape(sizes)


def _images(setup: Setup) -> Examples:
    """Every image of two folders, scaled to 16×16 grey values in 0…1; each fourth one is held out."""
    from PIL import Image

    folders = image_classes(Path(setup.folder) if setup.folder else bundled_data() / "stripes")
    pixels, labels = [], []
    for label, folder in enumerate(folders):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".gif"):
                with Image.open(path) as image:
                    pixels.append(np.asarray(image.convert("L").resize((SIDE, SIDE)), dtype=np.float32) / 255)
                labels.append(label)
    inputs, target = torch.from_numpy(np.stack(pixels)).unsqueeze(1), torch.tensor(labels)
    held = torch.arange(len(labels)) % 4 == 3
    return inputs[~held], target[~held], (inputs[held], target[held])


def _random_images(setup: Setup) -> Examples:
    generator = torch.Generator().manual_seed(setup.seed)
    count = setup.batch * setup.steps
    inputs = torch.randn(count, 3, 224, 224, generator=generator)
    target = torch.randint(setup.classes, (count,), generator=generator)
    return inputs, target, (inputs[:1], target[:1])


_EXAMPLES = {"linear": _linear, "digits": _digits, "images": _images, "resnet18": _random_images}


def _sequences(setup: Setup) -> Data:
    """Pieces of the text, longest first, padded to the longest of their micro-batch; padding is ignored."""
    text, letters = corpus(), vocabulary()
    codes = torch.tensor([letters.index(letter) for letter in text])
    generator = torch.Generator().manual_seed(setup.seed)
    begins = torch.randint(len(codes) - LONGEST - 1, (setup.steps + 1, setup.batch), generator=generator)
    sizes = lengths(setup.batch)

    def piece(step: int, begin: int, end: int) -> Micro:
        longest = sizes[begin]
        inputs = torch.zeros(end - begin, longest, dtype=torch.int64)
        target = torch.full((end - begin, longest), IGNORED)
        for row, sequence in enumerate(range(begin, end)):
            start, size = int(begins[step, sequence]), sizes[sequence]
            inputs[row, :size] = codes[start : start + size]
            target[row, :size] = codes[start + 1 : start + size + 1]
        return Micro(inputs=inputs.to(setup.device), target=target.flatten().to(setup.device))

    parts = micro_batches(setup.batch, setup.accumulation)
    return Data(
        steps=tuple(tuple(piece(step, *part) for part in parts) for step in range(setup.steps)),
        whole=tuple((piece(step, 0, setup.batch),) for step in range(setup.steps)),
        test=piece(setup.steps, 0, setup.batch),
    )
