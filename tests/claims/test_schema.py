"""A claim file is read strictly: every wrong key, verb, name or verdict is told with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.claims.model import FAILS, HOLDS
from harness.claims.schema import claims_of
from harness.core.errors import SuiteError
from harness.suite.yaml_text import parse_document

GOOD = """\
suite: mine
description: one claim
sources: {A: a page}
claims:
  - id: half
    statement: The half of 1 is 0.5.
    source: A
    given:
      x: {values: 1.0}
      y: {multiply: [x, 0.5]}
    tests:
      - equal_to_figure: {value: y, published: "0.5"}
    verdict: holds
    why: It is.
"""


def read(text: str):
    return claims_of(parse_document(text, Path("mine.yaml")))


def test_a_claim_file_reads_back() -> None:
    found = read(GOOD)
    (claim,) = found.claims
    assert claim.id == "half"
    assert claim.verdict == HOLDS
    assert claim.questions[0].known is True
    assert list(claim.given) == ["x", "y"]


def test_a_claim_that_does_not_hold_is_known_so() -> None:
    (claim,) = read(GOOD.replace("verdict: holds", "verdict: does not hold")).claims
    assert claim.verdict == FAILS
    assert claim.questions[0].known is False


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("equal_to_figure", "equal_to_figur", 12, "did you mean 'equal_to_figure'"),
        ("value: y", "value: z", 12, "a value under given: x, y"),
        ('published: "0.5"', 'published: "half"', 12, "figures as printed"),
        ("source: A", "source: B", 7, "a source: A"),
        ("why: It is.", "why: It is.\n    verdit: holds", 15, "unknown key 'verdit'"),
        ("verdict: holds", "verdict: true", 13, "holds, does not hold"),
        ("verdict: holds", "verdict: holds under these conditions", 12, "holds or fails"),
        ("id: half", "id: Half of it", 5, "lower-case letters"),
        ('published: "0.5"}', 'published: "0.5"}\n        expect: fails', 14, "the verdict that the tests give"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(SuiteError) as caught:
        read(GOOD.replace(old, new))
    assert said in str(caught.value)
    assert f"mine.yaml:{line}:" in str(caught.value)


def test_an_id_that_comes_twice_is_refused() -> None:
    twice = GOOD + GOOD[GOOD.index("  - id") :]
    with pytest.raises(SuiteError, match="a second time"):
        read(twice)
