"""Drawn cells reach over all axes, have a meaning or are told to have none, and are simple by default."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import Phase, find, given, settings

from harness.checks.cases import OWN_CASES
from harness.core.case import Case
from harness.losses.catalogue import families
from harness.search.draw import CELLS, OWN_CHECKS, cells, meaningless, own_questions, simplicity

FAMILY = families()["cross_entropy"]
PLAIN = Case(batch=4, classes=5)
AXES = (
    "batch", "classes", "dtype", "regime", "pass_", "reduction", "target", "ignored", "weight", "ignore_index",
    "label_smoothing", "layout", "grad_output", "dims", "seed",
)  # fmt: skip


def smallest(condition) -> Case:
    profile = settings(max_examples=400, database=None, deadline=None, derandomize=True)
    return find(cells(FAMILY, "cpu"), condition, settings=profile)


def test_a_failure_of_one_option_shrinks_to_that_option_alone() -> None:
    found = smallest(lambda case: case.label_smoothing > 0 and case.weight != "none" and case.batch > 1)
    assert found.label_smoothing > 0
    assert found.weight != "none"
    assert (found.batch, found.classes) == (2, 1)
    plain = replace(found, label_smoothing=0.0, weight="none")
    assert plain == Case(batch=2, classes=1)


def test_every_axis_is_drawn_away_from_its_default() -> None:
    seen: dict[str, set[object]] = {name: set() for name in AXES}

    @settings(max_examples=150, database=None, deadline=None, derandomize=True, phases=(Phase.generate,))
    @given(cells(FAMILY, "cpu"))
    def draw(case: Case) -> None:
        for name in AXES:
            seen[name].add(getattr(case, name))

    draw()
    assert [name for name in AXES if len(seen[name]) < 2] == []
    assert max(seen["classes"]) > 1024


def test_own_questions_are_cells_that_the_check_brings() -> None:
    found = find(own_questions(FAMILY, "cpu"), lambda question: question[1] == "layout" and question[0].seed > 2)
    case, check = found
    anchors = [Case(batch=4, classes=5, dtype=dtype) for dtype in ("float32", "float64", "bfloat16", "float16")]
    assert replace(case, seed=0) in [own for anchor in anchors for own in OWN_CASES[check](anchor, False)]
    assert set(OWN_CHECKS) < set(OWN_CASES)


def test_cells_without_meaning_are_told() -> None:
    assert meaningless(FAMILY, replace(PLAIN, target="probability", ignored=0.5))
    assert not meaningless(FAMILY, PLAIN)


def test_a_plain_cell_is_simpler_than_a_smaller_one_with_options_or_a_check_of_its_own() -> None:
    assert simplicity(PLAIN, CELLS) < simplicity(replace(PLAIN, batch=1, weight="uniform"), CELLS)
    assert simplicity(replace(PLAIN, batch=400), CELLS) < simplicity(PLAIN, "layout")
    assert simplicity(PLAIN, CELLS) < simplicity(replace(PLAIN, classes=6), CELLS)


def test_a_family_with_features_and_axes_of_its_own_is_drawn_over_them() -> None:
    family = families()["linear_cross_entropy"]
    profile = settings(max_examples=200, database=None, deadline=None, derandomize=True)
    found = find(cells(family, "cpu"), lambda case: case.options != () and case.features > 1, settings=profile)
    assert found.features == 2
    assert not meaningless(family, found)
