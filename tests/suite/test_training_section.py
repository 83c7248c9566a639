"""Section ``training`` is read as strictly as the rest of a suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import SuiteError
from harness.losses.catalogue import families
from harness.suite.schema import suite_of
from harness.suite.yaml_text import parse_document

HEAD = "suite: mine\ndescription: d\n"


def read(text: str):
    return suite_of(parse_document(HEAD + text, Path("mine.yaml")), families())


def test_entries_read_back_with_one_value_or_several() -> None:
    suite = read("training:\n  - {workload: digits, seed: [0, 1], steps: 5}\n  - {workload: linear, classes: 4}\n")
    assert [entry.workload for entry in suite.training] == ["digits", "linear"]
    assert suite.training[0].seeds == (0, 1)
    assert suite.training[0].steps == 5
    assert suite.training[1].classes == (4,)
    assert suite.entries == ()
    assert suite.timing is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("training: [{workload: digit}]", 3, "did you mean 'digits'"),
        ("training: [{workload: linear, step: 5}]", 3, "did you mean 'steps'"),
        ("training:\n  - {workload: images, accumulation: 2}", 4, "a key that workload images does not have"),
        ("training:\n  - {workload: linear, steps: 0}", 4, "a whole number ≥ 1"),
        ("training:\n  - {workload: linear, learning_rate: fast}", 4, "a number above 0"),
        ("training: []", 3, "a list of entries"),
        ("training: digits", 3, "a list of entries"),
        ("gate: {}", 1, "or a list under training"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        read(text)
    assert said in str(caught.value)
    assert f"mine.yaml:{line}:" in str(caught.value)
