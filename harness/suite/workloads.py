"""The workloads that a suite may train, and one entry of its section ``training``: plain nouns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

#: Workload → what it trains; the package ``harness.training`` has the programs, and a test holds the two together.
WORKLOADS: Mapping[str, str] = MappingProxyType(
    {
        "linear": "one linear layer from 10 features to 3 classes, by SGD",
        "digits": "a 64-100-10 network on scikit-learn's handwritten digits; 784-100-10 on MNIST from a local folder",
        "images": "a small convolutional network on two classes of images from a folder",
        "language_model": "a tiny causal language model on text that ships with the project, padding ignored",
        "resnet18": "timm's resnet18 with random weights on random images (needs the extra vision)",
    }
)
#: Keys beyond those that every workload has.
OWN_KEYS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "linear": frozenset({"classes", "accumulation"}),
        "digits": frozenset({"folder", "accumulation"}),
        "images": frozenset({"folder"}),
        "language_model": frozenset({"accumulation"}),
        "resnet18": frozenset({"classes"}),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEntry:
    """One entry of ``training``: a workload, and what is to differ from its own settings (None: as it is).

    ``classes`` and ``seeds`` may hold several values, each of which is a run of its own. ``key`` and ``line`` say
    where the entry stands in the file.
    """

    workload: str
    steps: int | None
    batch: int | None
    learning_rate: float | None
    accumulation: int
    seeds: tuple[int, ...]
    classes: tuple[int, ...]
    folder: str | None
    key: str
    line: int
