"""``docs/bug_coverage.md`` accounts for every documented bug, and names nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

from harness.mutants.catalogue import mutants
from harness.suite.model import CHECKS

BUGS = 131
_PAGE = Path(__file__).parents[2] / "docs" / "bug_coverage.md"


def _rows() -> list[list[str]]:
    lines = _PAGE.read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if re.match(r"\|\s*\d+\s*\|", line)]


def test_every_bug_has_a_row_in_order() -> None:
    assert [int(row[0]) for row in _rows()] == list(range(1, BUGS + 1))


def test_every_row_names_an_existing_check_and_mutant_or_gives_a_reason() -> None:
    known = {mutant.name: mutant for mutant in mutants()}
    for number, _, checks, named, note in _rows():
        names, listed = re.findall(r"`(\w+)`", named), set(re.findall(r"`(\w+)`", checks))
        assert names or len(note) > 20, number
        assert set(names) <= set(known), number
        assert listed <= set(CHECKS), number
        assert listed == {check for name in names for check in known[name].caught_by}, number


def test_mutants_without_a_bug_are_listed_too() -> None:
    text = _PAGE.read_text(encoding="utf-8")
    assert [mutant.name for mutant in mutants() if f"`{mutant.name}`" not in text] == []
