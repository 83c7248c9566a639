"""One training run as it was asked for: its settings, its cell, and why it may not be possible here. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.case import Case, Scalar
from harness.core.errors import UsageError
from harness.inputs.capture import bundled_data
from harness.suite.workloads import TrainingEntry

#: The loss that all workloads train with.
LOSS = "cross_entropy"
#: Longest sequence of the language model, and the length of its shortest.
LONGEST, SHORTEST = 32, 4
IMAGE_FILES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")
_MNIST = "train-images-idx3-ubyte"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A workload's own settings; ``batch`` counts examples (sequences of the language model)."""

    batch: int
    steps: int
    learning_rate: float
    optimizer: str
    classes: int


#: The settings that hold where a suite says nothing else.
PROGRAMS: Mapping[str, Program] = MappingProxyType(
    {
        "linear": Program(batch=32, steps=120, learning_rate=0.1, optimizer="sgd", classes=3),
        "digits": Program(batch=100, steps=120, learning_rate=1e-3, optimizer="adam", classes=10),
        "images": Program(batch=8, steps=40, learning_rate=3e-3, optimizer="adam", classes=2),
        "language_model": Program(batch=8, steps=60, learning_rate=0.3, optimizer="sgd", classes=0),
        "resnet18": Program(batch=1, steps=3, learning_rate=0.01, optimizer="sgd", classes=1000),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """One run: a workload with every setting filled in. ``folder`` is empty where the data are the project's own."""

    workload: str
    batch: int
    steps: int
    learning_rate: float
    optimizer: str
    classes: int
    accumulation: int
    seed: int
    folder: str
    device: str

    @property
    def case(self) -> Case:
        """The cell that outcomes of this run belong to: the loss as one step without accumulation calls it."""
        own = PROGRAMS[self.workload]
        options: dict[str, Scalar] = {"steps": self.steps} if self.steps != own.steps else {}
        if self.learning_rate != own.learning_rate:
            options["learning_rate"] = self.learning_rate
        if self.accumulation > 1:
            options["accumulation"] = self.accumulation
        if self.folder:
            options["folder"] = Path(self.folder).name
        rows, ignored = self.batch, 0.0
        if self.workload == "language_model":
            rows, ignored = self.batch * LONGEST, 1 - sum(lengths(self.batch)) / (self.batch * LONGEST)
        return Case(
            loss=LOSS, batch=rows, classes=self.classes, device=self.device, regime=f"training:{self.workload}",
            ignored=ignored, seed=self.seed, options=tuple(sorted(options.items())),
        )  # fmt: skip

    def unavailable(self) -> str | None:
        """Why this cannot be trained here, with the line to type; None where it can."""
        if self.workload == "digits" and not self.folder and find_spec("sklearn") is None:
            return "needs scikit-learn for its digits, which is not installed: pip install 'loss-harness[training]'"
        if self.workload == "images" and find_spec("PIL") is None:
            return "needs Pillow to read images, which is not installed: pip install 'loss-harness[training]'"
        if self.workload == "resnet18" and find_spec("timm") is None:
            return (
                "needs timm, which is not installed: pip install 'loss-harness[vision]' (with the torchvision made for "
                "the torch installed: the newest asks for torch 2.14)"
            )
        return None


def setups_of(entry: TrainingEntry, device: str) -> tuple[Setup, ...]:
    """The runs of one entry: one for each number of classes and each seed.

    Raises:
        UsageError: the folder it names does not hold what the workload needs.
    """
    own = PROGRAMS[entry.workload]
    folder = _checked_folder(entry)
    classes = entry.classes or (len(vocabulary()) if entry.workload == "language_model" else own.classes,)
    return tuple(
        Setup(
            workload=entry.workload, batch=entry.batch or own.batch, steps=entry.steps or own.steps,
            learning_rate=entry.learning_rate or own.learning_rate, optimizer=own.optimizer, classes=count,
            accumulation=entry.accumulation, seed=seed, folder=folder, device=device,
        )
        for count in classes
        for seed in entry.seeds
    )  # fmt: skip


def setup_to_dict(setup: Setup) -> dict[str, Any]:
    """Plain values, for a worker."""
    return asdict(setup)


def lengths(batch: int) -> list[int]:
    """Lengths of the sequences of one step, longest first: evenly from 32 down to 4."""
    if batch == 1:
        return [LONGEST]
    return [LONGEST - (LONGEST - SHORTEST) * index // (batch - 1) for index in range(batch)]


def micro_batches(batch: int, count: int) -> list[tuple[int, int]]:
    """(begin, end) of ``count`` micro-batches of ``batch`` examples, of unequal size: in proportion to count, …, 2, 1.

    Raises:
        UsageError: there are fewer examples than micro-batches.
    """
    if batch < count:
        raise UsageError(f"accumulation {count} needs at least {count} examples in a batch; found {batch}")
    total = count * (count + 1) // 2
    ends, taken = [], 0
    for index in range(count):
        taken += count - index
        # each of those that follow keeps one example at least
        ends.append(min(max(batch * taken // total, index + 1), batch - (count - 1 - index)))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def corpus() -> str:
    """The text that ships with the project for the language model."""
    return (bundled_data() / "text.txt").read_text(encoding="utf-8")


def vocabulary() -> str:
    """The characters of :func:`corpus`, sorted; a character's place is its class."""
    return "".join(sorted(set(corpus())))


def image_classes(folder: Path) -> list[Path]:
    """The folders of images in ``folder``, one for each class, sorted by name.

    Raises:
        UsageError: there are not two, or one holds fewer than four images.
    """
    found = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    counts = {path.name: sum(file.suffix.lower() in IMAGE_FILES for file in path.iterdir()) for path in found}
    if len(found) != 2 or min(counts.values()) < 4:
        told = ", ".join(f"{name} ({count} images)" for name, count in counts.items()) or "no folder in it"
        raise UsageError(
            f"workload images, folder {folder}: found {told if folder.is_dir() else 'no such folder'}\n"
            "  allowed: a folder with one folder for each of two classes, each with 4 or more images of "
            f"{', '.join(IMAGE_FILES)}"
        )
    return found


def _checked_folder(entry: TrainingEntry) -> str:
    if entry.workload == "images":
        folder = Path(entry.folder) if entry.folder else bundled_data() / "stripes"
        image_classes(folder)
        return entry.folder or ""
    if entry.workload == "digits" and entry.folder:
        names = [path.name for path in Path(entry.folder).iterdir()] if Path(entry.folder).is_dir() else []
        if not any(name.startswith(_MNIST) for name in names):
            raise UsageError(
                f"workload digits, folder {entry.folder}: found {', '.join(sorted(names)[:5]) or 'nothing'}\n"
                "  allowed: a folder with MNIST's four files, train-images-idx3-ubyte and so on, as they are or as .gz"
            )
    return entry.folder or ""
