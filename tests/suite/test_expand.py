import math
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.case import DTYPES, PASSES, REDUCTIONS, Case, parse_cell
from harness.core.errors import SuiteError
from harness.suite import count_cells, expand
from harness.suite.model import Suite
from harness.suite.schema import suite_of
from harness.suite.yaml_text import parse_document
from tests.suite.families import FAMILIES


def suite(cases: str) -> Suite:
    return suite_of(parse_document(f"suite: x\ndescription: y\ncases:\n{cases}", Path("x.yaml")), FAMILIES)


def cells(cases: str) -> tuple[Case, ...]:
    return expand(suite(cases), FAMILIES)


def test_the_last_axis_is_fastest_and_passes_stand_side_by_side() -> None:
    found = cells(
        "  - {loss: cross_entropy, pass: [forward, backward], batch: [1, 2], classes: 3, reduction: [sum, none]}"
    )
    assert [(case.batch, case.reduction, case.pass_) for case in found] == [
        (1, "sum", "forward"),
        (1, "sum", "backward"),
        (1, "none", "forward"),
        (1, "none", "backward"),
        (2, "sum", "forward"),
        (2, "sum", "backward"),
        (2, "none", "forward"),
        (2, "none", "backward"),
    ]


def test_axes_not_named_have_the_default_of_the_family() -> None:
    (case,) = cells("  - {loss: cross_entropy, batch: 2, classes: 3}")
    assert case == Case(batch=2, classes=3)


def test_shapes_give_batch_classes_and_dims() -> None:
    found = cells("  - {loss: cross_entropy, shape: [[8, 10], [2, 3, 4, 5]]}")
    assert [(case.batch, case.classes, case.dims) for case in found] == [(8, 10, ()), (2, 3, (4, 5))]


def test_shapes_of_linear_losses_have_features_in_the_middle() -> None:
    (case,) = cells("  - {loss: linear_cross_entropy, shape: [8, 16, 10]}")
    assert (case.batch, case.features, case.classes) == (8, 16, 10)
    assert parse_cell(case.cell) == case


def test_a_cell_that_was_there_before_is_dropped() -> None:
    entry = "  - {loss: cross_entropy, batch: [1, 2, 1], classes: 3, ignored: [0, 0.0, -0.0]}\n"
    assert count_cells(suite(entry * 2)) == 18
    assert [case.batch for case in cells(entry * 2)] == [1, 2]


def test_combinations_without_meaning_stay_in_the_list() -> None:
    found = cells("  - {loss: cross_entropy, batch: 1, classes: 3, regime: wide, dtype: [float32, float16]}")
    assert [FAMILIES[case.loss].refusal(case) is None for case in found] == [True, False]


def test_ten_million_cells_are_refused_at_once_with_the_sizes_of_the_axes() -> None:
    numbers = "[" + ", ".join(map(str, range(1, 101))) + "]"
    start = time.perf_counter()
    with pytest.raises(SuiteError) as caught:
        cells(
            "  - {loss: cross_entropy, batch: 1, classes: 2}\n"
            f"  - {{loss: cross_entropy, batch: {numbers}, classes: {numbers}, seed: {numbers}, "
            f"ignore_index: {numbers[:30]}]}}"
        )
    assert time.perf_counter() - start < 1
    message = str(caught.value)
    assert "x.yaml:5: cases[1]" in message
    assert "batch 100 × classes 100 × seed 100 × ignore_index 10" in message
    assert "10,000,001 cells in all" in message
    assert "at most 100,000 cells" in message


def _subset(*values: object) -> st.SearchStrategy[list[object]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


AXES = st.fixed_dictionaries(
    {"batch": _subset(0, 1, 64), "classes": _subset(1, 2, 262144)},
    optional={
        "dtype": _subset(*DTYPES),
        "device": _subset("cpu", "cuda", "cuda:1", "triton-interpreter"),
        "regime": _subset("normal", "captured", "captured:dir/a b#c=d.npz"),
        "pass": _subset(*PASSES),
        "reduction": _subset(*REDUCTIONS),
        "label_smoothing": _subset(0.0, 1e-5, 0.1, 1.0),
        "ignored": _subset(0.0, 0.25, 1 / 3),
        "ignore_index": _subset(-100, 0, 7),
        "seed": _subset(0, 1, 2**62),
    },
)


@given(axes=AXES)
@settings(max_examples=60, deadline=None)
def test_expansion_is_the_product_and_every_cell_reads_back(axes: dict[str, list[object]]) -> None:
    lines = "\n".join(f"    {name}: {values!r}" for name, values in axes.items())
    found = cells(f"  - loss: cross_entropy\n{lines}")
    assert len(found) == math.prod(map(len, axes.values()))
    assert len({case.cell for case in found}) == len(found)
    assert all(parse_cell(case.cell) == case for case in found)
    keys = [case.inputs_key for case in found]
    assert len(list(dict.fromkeys(keys))) == sum(a != b for a, b in zip(keys, [None, *keys], strict=False))
