"""Budgets by themselves: each grade contains the stricter one, and the parameters are those of the method."""

from dataclasses import replace
from math import ceil, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.inputs.catalogue import refusal
from harness.losses.cross_entropy.budget_gradient import GradientBudget
from harness.losses.cross_entropy.budget_loss import final_rows, reduced, row_budgets
from harness.losses.cross_entropy.grades import independent, row_errors, rules_for
from harness.losses.cross_entropy.oracle import grad_logits_of
from harness.losses.cross_entropy.problem import pose
from harness.losses.cross_entropy.truth import pieces, reduce_losses
from harness.numerics.formats import oracle_dtype
from tests.losses.cross_entropy.tools import REGIME_NAMES

CASES = st.builds(
    Case,
    batch=st.integers(1, 4),
    classes=st.integers(1, 40),
    dtype=st.sampled_from(["float64", "float32", "bfloat16", "float16"]),
    regime=st.sampled_from([name for name in REGIME_NAMES if name != "nonfinite"]),
    reduction=st.sampled_from(["none", "mean", "sum"]),
    target=st.sampled_from(["uniform", "probability", "one_hot"]),
    weight=st.sampled_from(["none", "uniform", "zeros", "skewed"]),
    label_smoothing=st.sampled_from([0.0, 0.1, 0.9]),
    grad_output=st.sampled_from(["one", "random", "scaled"]),
    seed=st.integers(0, 3),
)


def contains(wider, stricter):
    return bool((wider >= stricter * (1 - 1e-9))[np.isfinite(stricter)].all())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(CASES)
def test_each_grade_contains_the_stricter_one_entry_by_entry(case):
    if refusal(case):
        return
    inputs = build_inputs(case)
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    rules = rules_for(case, case.rows, 0.5)
    (piece,) = pieces(problem, inputs)
    errors = row_errors(piece.rows, rules)
    losses = piece.terms.value
    grades = row_budgets(piece, errors, problem, rules)
    with np.errstate(all="ignore"):
        if case.reduction == "none":
            grades = final_rows(losses, grades, rules)
        else:
            grades = reduced(reduce_losses(problem, losses), losses, grades, problem, rules)
        assert contains(grades["tight"], grades["relative"])
        assert contains(grades["standard"], grades["tight"])
        if not piece.counted.all():
            return
        budget = GradientBudget(
            rows=piece.rows, errors=errors, mass=piece.mass, problem=problem, rules=rules, scale=piece.scale
        )
        gradient = grad_logits_of(piece.rows, piece.mass, piece.scale)
        at = (np.arange(len(gradient)), piece.mass.column)
        if piece.mass.spread is not None:
            assert contains(budget.with_spread("standard", gradient), budget.with_spread("tight", gradient))
        else:
            assert contains(budget.off_target("standard", gradient), budget.off_target("tight", gradient))
            assert contains(budget.at_target("standard", gradient[at]), budget.at_target("tight", gradient[at]))


@pytest.mark.parametrize("classes", [2, 1000, 262144])
def test_the_square_root_depth_is_for_independent_regimes_alone(classes):
    case = Case(batch=1, classes=classes)
    deep = classes + 1.0
    shallow = ceil(classes / 8) + 9.0
    for regime in ("swamp", "sorted_ascending", "equal", "masked", "confident", "offset"):
        rules = rules_for(replace(case, regime=regime), 1, 0.5)
        assert not independent(regime)
        assert (rules.tight.depth, rules.standard[0].depth) == (shallow, max(deep, shallow))
    for regime in ("normal", "small", "uniform", "sigma10"):
        rules = rules_for(replace(case, regime=regime), 1, 0.5)
        tight = min(shallow, 8 * sqrt(deep))
        assert (rules.tight.depth, rules.standard[0].depth) == (tight, max(tight, min(deep, 8 * sqrt(deep))))


@pytest.mark.parametrize("classes", [2, 1000, 262144])
def test_equal_shares_of_smoothing_never_have_the_square_root_depth(classes):
    for regime in ("normal", "swamp"):
        smoothed = rules_for(Case(batch=1, classes=classes, regime=regime, label_smoothing=0.1), 1, 0.5)
        deep, shallow = classes + 1.0, ceil(classes / 8) + 9.0
        assert (smoothed.tight.mass_depth, smoothed.standard[0].mass_depth) == (shallow, max(deep, shallow))
    drawn = rules_for(Case(batch=1, classes=classes, target="probability"), 1, 0.5)
    assert drawn.standard[0].mass_depth == drawn.standard[0].depth


def test_shares_added_one_by_one_pass_standard_and_their_budget_is_not_twenty_times_too_wide():
    case = Case(batch=4, classes=4099, reduction="none", label_smoothing=0.1)
    inputs = build_inputs(case)
    problem = pose(case, inputs, np.float64)
    piece, rules = next(pieces(problem, inputs)), rules_for(case, 4, 0.5)
    gradient = grad_logits_of(piece.rows, piece.mass, piece.scale)
    budget = GradientBudget(
        rows=piece.rows, errors=row_errors(piece.rows, rules), mass=piece.mass, problem=problem, rules=rules,
        scale=piece.scale,
    ).with_spread("standard", gradient)  # fmt: skip
    share, total = np.float32(0.1) / np.float32(4099), np.float32(0.9)
    for _ in range(4099):
        total += share
    error = np.abs(piece.rows.e / piece.rows.s[:, None] * piece.scale[:, None]) * abs(float(total) - 1.0)
    assert 0.05 < float((error / budget).max()) <= 1.0


def test_only_half_precision_may_store_what_lies_between():
    for dtype, kinds in (("float64", 2), ("float32", 2), ("bfloat16", 3), ("float16", 3)):
        rules = rules_for(Case(batch=1, classes=10, dtype=dtype), 1, 0.5)
        assert len(rules.standard) == kinds
        assert rules.tight.stored is None
        assert rules.u == (2.0**-53 if dtype == "float64" else 2.0**-24)


def test_rounding_of_the_mean_is_counted_once_and_its_depth_n_plus_one():
    case = Case(batch=1000, classes=2, reduction="mean", regime="equal", dtype="bfloat16")
    problem = pose(case, build_inputs(case), np.float64)
    rules, losses = rules_for(case, 1000, 0.5), np.full(1000, 1.5)
    none = {grade: np.zeros(1000) for grade in ("relative", "tight", "standard")}
    budget = reduced(np.asarray(1.5), losses, none, problem, rules)["tight"]
    assert float(budget) == pytest.approx((1002 * 2.0**-24) * 1.5 + 0.5 * 2.0**-7, rel=1e-12)
