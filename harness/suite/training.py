"""Section ``training`` of a suite file: small programs to train with every implementation as the loss.

An entry names a ``workload``; the other keys replace that workload's own settings. A key that has no meaning for a
workload is refused.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from harness.suite.fields import Text, as_list
from harness.suite.problems import Problem, found_text, key_path
from harness.suite.validate import problem_at, read_mapping
from harness.suite.workloads import OWN_KEYS, WORKLOADS, TrainingEntry
from harness.suite.yaml_text import Document, KeyPath


def _known_workload(value: str) -> str:
    if value not in WORKLOADS:
        raise ValueError(value)
    return value


_Count = Annotated[int | None, Field(ge=1, le=1_000_000, description="a whole number ≥ 1")]


class TrainingText(Text):
    """One entry as written."""

    workload: Annotated[str, AfterValidator(_known_workload), Field(description=", ".join(WORKLOADS))]
    steps: _Count = None
    batch: _Count = None
    learning_rate: Annotated[float | None, Field(gt=0, le=100, description="a number above 0")] = None
    accumulation: Annotated[int, Field(ge=1, le=64, description="micro-batches per step, from 1 to 64")] = 1
    seed: Annotated[
        list[Annotated[int, Field(ge=0, lt=2**31)]],
        BeforeValidator(as_list),
        Field(min_length=1, description="whole numbers ≥ 0, one or a list", default_factory=lambda: [0]),
    ]
    classes: Annotated[
        list[Annotated[int, Field(ge=1, le=100_000)]],
        BeforeValidator(as_list),
        Field(description="whole numbers ≥ 1, one or a list", default_factory=list),
    ]
    folder: Annotated[str | None, Field(min_length=1, description="the path of a folder")] = None


def training_of(document: Document, problems: list[Problem]) -> tuple[TrainingEntry, ...]:
    """The entries of section ``training``; empty where the file has none. What is wrong is added to ``problems``."""
    section: Any = document.values.get("training", [])
    if not isinstance(section, list) or ("training" in document.values and not section):
        found = found_text(section)
        problems.append(problem_at(document, ("training",), found, "a list of entries, e.g. [{workload: digits}]"))
        return ()
    entries = [_entry(index, value, document, problems) for index, value in enumerate(section)]
    return tuple(entry for entry in entries if entry is not None)


def _entry(index: int, value: object, document: Document, problems: list[Problem]) -> TrainingEntry | None:
    path: KeyPath = ("training", index)
    read = read_mapping(TrainingText, value, path, document, problems)
    if read is None or not isinstance(value, dict):
        return None
    own = {"folder", "accumulation", "classes"} - OWN_KEYS[read.workload]
    for name in sorted(own & set(value)):
        allowed = ", ".join(sorted({"steps", "batch", "learning_rate", "seed"} | OWN_KEYS[read.workload]))
        found = f"a key that workload {read.workload} does not have"
        problems.append(problem_at(document, (*path, name), found, allowed))
    return TrainingEntry(
        workload=read.workload, steps=read.steps, batch=read.batch, learning_rate=read.learning_rate,
        accumulation=read.accumulation, seeds=tuple(dict.fromkeys(read.seed)),
        classes=tuple(dict.fromkeys(read.classes)), folder=read.folder, key=key_path(path), line=document.line(path),
    )  # fmt: skip
