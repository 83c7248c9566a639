"""What implementations do where they differ is seen, and what goes wrong with one question costs no other."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.losses.catalogue import families
from harness.report.page_observed import observed_section
from harness.runner.asked import Asked
from harness.runner.build import build_plan, cases_of
from harness.runner.events import Silent
from harness.runner.observing import QUESTIONS, observe_all
from harness.runner.record import NoSink, Record
from harness.suite.load import load_suite
from harness.worker.observe import OBSERVERS
from harness.worker.process import ProcessWorkers

SOURCE = """
import os
import torch.nn.functional as F
from harness import implementation

@implementation("ends_the_process", loss="cross_entropy")
def ends_the_process(logits, target, *, reduction="mean"):
    if target.numel() and int(target.max()) >= logits.shape[1]:
        os._exit(3)
    return F.cross_entropy(logits, target, reduction=reduction)

@implementation("overwrites", loss="cross_entropy")
def overwrites(logits, target, *, ignore_index=-100):
    if target.numel() == 0:
        return logits.sum()
    loss = F.cross_entropy(logits, target.long(), ignore_index=ignore_index)
    logits.data.mul_(2)
    return loss
"""


class HeaderSink(NoSink):
    """Keeps the header alone."""

    def __init__(self) -> None:
        self.header: dict[str, Any] = {}

    def update_header(self, **values: Any) -> None:
        self.header.update(values)


def test_every_question_has_an_observer_in_the_same_order() -> None:
    assert tuple(OBSERVERS) == QUESTIONS


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    source = tmp_path_factory.mktemp("observed") / "two.py"
    source.write_text(SOURCE, encoding="utf-8")
    suite = load_suite("cpu", families())
    asked = Asked(implementations=("torch", str(source)), only="correctness")
    workers = ProcessWorkers()
    plan, _ = build_plan(suite, cases_of(suite, asked), asked, workers, Path.cwd())
    sink = HeaderSink()
    observe_all(plan, workers, Record(sink, Silent()), Silent(), {})
    return sink.header["semantics"]


def test_torch_is_seen_as_its_documentation_says(matrix: dict[str, Any]) -> None:
    seen = matrix["torch"]["cpu"]
    assert seen["all rows ignored, mean"] == "NaN, gradient 0"
    assert seen["no rows, mean"] == "NaN"
    assert seen["changes the logits"] == "no"
    assert seen["double backward"] == "second order"
    assert seen["target C"].startswith("raises")


def test_one_that_ends_the_process_over_a_question_still_answers_the_others(matrix: dict[str, Any]) -> None:
    seen = matrix["ends_the_process"]["cpu"]
    assert seen["target C"] == "ends the process"
    assert seen["target -1"].startswith("raises")
    assert seen["all rows ignored, mean"].startswith("raises")
    assert list(seen) == list(QUESTIONS)


def test_what_differs_is_told(matrix: dict[str, Any]) -> None:
    seen = matrix["overwrites"]["cpu"]
    assert seen["no rows, mean"] == "0"
    assert seen["int32 targets"] == "as int64"
    assert seen["changes the logits"] == "in the forward"


def test_the_page_marks_what_differs_from_torch_and_escapes_names(matrix: dict[str, Any]) -> None:
    header = {
        "semantics": {**matrix, "<b>evil": {"cpu": {"no rows, mean": "<script>"}}},
        "planned": {"implementations": [{"name": "torch", "expect": {"ignored[region=ignored]": "NaN stays"}}]},
    }
    page = str(observed_section(SimpleNamespace(header=header)))  # type: ignore[arg-type]
    assert "<strong>in the forward</strong>" in page
    assert ">1 difference<" in page
    assert "<script>" not in page
    assert "<b>evil" not in page
