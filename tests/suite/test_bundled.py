"""The suites that ship: each loads, expands to about as many cells as its purpose allows, and reads back."""

from functools import cache

import pytest

from harness.checks import catalogue
from harness.core.case import INTERPRETER, Case, parse_cell
from harness.losses.catalogue import families
from harness.suite import expand, load_suite, suite_names
from harness.suite.estimate import estimate
from harness.suite.model import CHECKS, Suite


@cache
def _load(name: str) -> tuple[Suite, tuple[Case, ...]]:
    suite = load_suite(name, families())
    return suite, expand(suite, families())


@pytest.mark.parametrize(
    ("name", "least", "most", "seconds"),
    [
        ("smoke", 6, 16, 30),
        ("cpu", 40, 70, 1100),  # samples have to be most of it
        ("gpu", 30, 60, None),
        ("extreme", 150, 400, 150),
        ("correctness", 250, 1300, 220),
        ("published", 40, 70, None),
        ("llm", 50, 90, None),
        ("decode", 60, 90, None),
    ],
)
def test_a_bundled_suite_has_the_size_its_purpose_allows(name: str, least: int, most: int, seconds: int | None) -> None:
    suite, cases = _load(name)
    assert suite.name == name
    assert suite.description == suite_names()[name]
    assert least <= len(cases) <= most
    assert all(parse_cell(case.cell) == case for case in cases)
    found = estimate(suite, cases, families(), implementations=5)
    assert found.refused == 0
    assert seconds is None or found.seconds <= seconds


def test_the_cpu_suite_has_few_distinct_graphs_to_compile() -> None:
    _, cases = _load("cpu")
    graphs = {(case.batch, case.classes, case.dtype) for case in cases if case.device == "cpu"}
    assert len(graphs) <= 18


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_timed_suites_sweep_what_changes_speed(name: str) -> None:
    cases = [case for case in _load(name)[1] if case.device != INTERPRETER]
    assert {0.0, 0.5, 0.95} <= {case.ignored for case in cases}
    assert {"contiguous", "padded"} <= {case.layout for case in cases}
    assert len({case.regime for case in cases}) > 1
    assert 50257 in {case.classes for case in cases}


def test_the_correctness_suite_sees_a_zero_gradient_in_the_largest_vocabulary() -> None:
    _, cases = _load("correctness")
    large = {(case.dtype, case.reduction) for case in cases if case.classes == 262144}
    assert large >= {(dtype, reduction) for dtype in ("float32", "bfloat16") for reduction in ("mean", "sum")}


def test_the_correctness_suite_pairs_every_two_options() -> None:
    _, cases = _load("correctness")
    axes = {
        "reduction": {"none", "mean", "sum"},
        "weight": {"none", "skewed"},
        "label_smoothing": {0.0, 0.1},
        "ignored": {0.0, 0.25},
        "ignore_index": {-100, 0},
        "target": {"uniform", "argmax", "probability"},
    }
    missing = [
        (first, a, second, b)
        for first in axes
        for second in axes
        if first < second
        for a in axes[first]
        for b in axes[second]
        if not any(getattr(case, first) == a and getattr(case, second) == b for case in cases)
    ]
    # probability targets have neither ignored rows nor an ignore_index; refused combinations are no gaps
    allowed = {("ignored", 0.25, "target", "probability"), ("ignore_index", 0, "target", "probability")}
    assert set(missing) <= allowed


@pytest.mark.parametrize("name", ["extreme", "correctness"])
def test_judging_suites_are_not_timed(name: str) -> None:
    assert _load(name)[0].timing is None


def test_suites_for_machines_without_a_gpu_ask_for_none() -> None:
    for name in ("smoke", "cpu", "extreme", "correctness"):
        assert {case.device for case in _load(name)[1]} <= {"cpu", INTERPRETER}
    for name in ("gpu", "published", "llm", "decode"):
        assert {case.device for case in _load(name)[1]} == {"cuda"}


def test_language_models_are_swept_over_real_vocabularies_in_both_families() -> None:
    _, cases = _load("llm")
    for loss in ("cross_entropy", "linear_cross_entropy"):
        found = {(case.classes, case.dtype) for case in cases if case.loss == loss}
        vocabularies = (32000, 50257, 128256, 151936, 256000, 262144)
        assert found == {(classes, dtype) for classes in vocabularies for dtype in ("float32", "bfloat16")}
    assert {case.ignored for case in cases} == {0.0, 0.5}


def test_decoding_has_few_rows_and_the_largest_vocabularies() -> None:
    _, cases = _load("decode")
    assert {1, 128} <= {case.batch for case in cases} <= set(range(1, 129))
    assert {128256, 151936, 262144} <= {case.classes for case in cases}


def test_published_tables_are_laid_beside_in_their_own_dtypes() -> None:
    _, cases = _load("published")
    quack = {(case.batch, case.classes) for case in cases if case.regime == "small" and case.dtype == "bfloat16"}
    assert quack >= {(32768, 256 << power) for power in range(9)} | {(16384, 131072), (8192, 262144)}
    assert any((case.batch, case.features, case.classes) == (8192, 2304, 256000) for case in cases)


def test_products_are_part_of_the_estimate() -> None:
    suite, cases = _load("llm")
    plain = [case for case in cases if case.loss == "cross_entropy"]
    one = estimate(suite, plain, families(), implementations=1)
    every = estimate(suite, cases, families(), implementations=1)
    assert every.judging_seconds > 3 * one.judging_seconds


def test_a_suite_may_ask_for_every_check_there_is() -> None:
    # the suite layer lies below the checks, so it keeps their names itself
    assert tuple(CHECKS) == tuple(catalogue.CHECKS)
