"""What must pass passes, what is wrong is caught: the judge held against torch, unusual code and mutants."""

from dataclasses import replace

import pytest
import torch

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.losses.cross_entropy.evaluate import evaluate, truth
from tests.losses.cross_entropy import implementations
from tests.losses.cross_entropy.implementations import RIGHT, WRONG, answer
from tests.losses.cross_entropy.tools import REGIME_NAMES, made, told, torch_answer

#: Index targets on finite or masked logits, and every product of options that differs in arithmetic.
OPTIONS = [
    {},
    {"reduction": "none", "grad_output": "random"},
    {"reduction": "sum", "ignored": 0.3},
    {"label_smoothing": 0.1},
    {"weight": "skewed", "label_smoothing": 0.1, "reduction": "none"},
    {"weight": "zeros", "ignored": 0.3},
    {"target": "probability"},
    {"target": "probability", "weight": "uniform", "label_smoothing": 0.1, "reduction": "none"},
    {"target": "one_hot", "reduction": "sum"},
    {"dims": (2, 2)},
]


def torch_defect(case):
    """torch multiplies a mass of 0 by an infinite log-probability, and NaN rows by 0 where they are ignored."""
    if case.regime == "nonfinite":
        return case.ignored > 0
    infinite = case.regime in ("masked", "masked_target", "lone", "edge", "edge_wrong")
    return infinite and (case.target == "one_hot" or case.weight == "zeros")


@pytest.mark.parametrize("regime", REGIME_NAMES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_torch_earns_standard(dtype, regime):
    for classes in (2, 10, 300):
        for options in OPTIONS:
            drawn = made(batch=8, classes=classes, dtype=dtype, regime=regime, **options)
            if drawn is None:
                continue
            result = evaluate(*drawn, *torch_answer(*drawn))
            mismatched = any(report.mismatches for report in result.regions)
            if not (torch_defect(drawn[0]) and mismatched):
                assert result.grade is not None, (drawn[0].cell, told(result))


@pytest.mark.parametrize("regime", REGIME_NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_the_truth_earns_relative(dtype, regime):
    for options in OPTIONS:
        drawn = made(batch=8, classes=12, dtype=dtype, regime=regime, **options)
        if drawn is not None:
            exact = truth(*drawn)
            result = evaluate(*drawn, exact.loss, exact.gradients)
            assert result.grade == "relative", (drawn[0].cell, told(result))


FINITE = [name for name in REGIME_NAMES if name not in ("nonfinite", "huge_offset", "edge", "edge_wrong")]


@pytest.mark.parametrize("name", RIGHT)
def test_right_but_unusual_float32_earns_standard(name):
    for regime in FINITE:
        for classes in (2, 9, 257):
            for reduction in ("none", "mean"):
                drawn = made(batch=8, classes=classes, regime=regime, reduction=reduction)
                result = evaluate(*drawn, *answer(RIGHT[name], *drawn))
                assert result.grade is not None, (drawn[0].cell, told(result))


def test_only_log1p_is_accurate_where_the_loss_is_near_zero():
    for regime in ("confident", "near_one_hot_12", "near_one_hot_25", "near_one_hot_90"):
        drawn = made(batch=16, classes=100, regime=regime, reduction="none")
        assert evaluate(*drawn, *answer(implementations.log1p, *drawn)).grade == "relative"
        assert evaluate(*drawn, *torch_answer(*drawn)).grade == "tight"


def test_scalar_recursion_earns_only_standard_on_swamp():
    drawn = made(batch=4, classes=8192, regime="swamp", reduction="none")
    result = evaluate(*drawn, *answer(implementations.recursive, *drawn))
    assert result.grade == "standard"
    assert result.region("loss", "loss").worst["tight"].ratio == pytest.approx(7.9, rel=0.1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_float32_arithmetic_with_one_rounding_earns_tight(dtype):
    for regime in FINITE:
        for classes in (2, 10, 1000):
            for reduction in ("none", "mean"):
                drawn = made(batch=8, classes=classes, dtype=dtype, regime=regime, reduction=reduction)
                result = evaluate(*drawn, *answer(implementations.log1p, *drawn))
                assert result.grade in ("relative", "tight"), (drawn[0].cell, told(result))


def test_torch_in_half_precision_keeps_standard_for_unreduced_plain_losses():
    for dtype in ("bfloat16", "float16"):
        for regime in FINITE:
            drawn = made(batch=8, classes=300, dtype=dtype, regime=regime, reduction="none")
            result = evaluate(*drawn, *torch_answer(*drawn))
            assert result.grade is not None, (drawn[0].cell, told(result))


def caught(rows, regimes, sizes, reduction="none"):
    found = []
    for regime in regimes:
        for classes in sizes:
            drawn = made(batch=8, classes=classes, regime=regime, reduction=reduction)
            if evaluate(*drawn, *answer(rows, *drawn)).grade is None:
                found.append((regime, classes))
    return found


@pytest.mark.parametrize("name", WRONG)
def test_mutants_are_caught(name):
    assert caught(WRONG[name], ("normal", "offset", "sigma10", "near_one_hot_90_other"), (2, 10, 1000), "none")


@pytest.mark.parametrize("name", ["drops_last_class", "accumulates_in_bfloat16", "casts_to_bfloat16", "unshifted"])
def test_mutants_are_caught_through_a_mean(name):
    assert caught(WRONG[name], ("normal", "offset"), (2, 10, 1000), "mean")


def test_unshifted_exponentials_show_as_classes_that_differ():
    drawn = made(batch=8, classes=10, regime="offset", reduction="none")
    result = evaluate(*drawn, *answer(implementations.unshifted, *drawn))
    assert all(result.region(*where).mismatches for where in (("loss", "loss"), ("grad_logits", "other")))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_zeroed_gradient_off_the_target_is_seen_at_262144_classes(dtype, reduction):
    case = Case(batch=2, classes=262144, dtype=dtype, reduction=reduction)
    for regime in ("normal", "swamp"):
        case = replace(case, regime=regime)
        inputs = build_inputs(case)
        right = truth(case, inputs).gradients["logits"]
        zeroed = torch.zeros_like(right).scatter_(1, inputs.target[:, None], right.gather(1, inputs.target[:, None]))
        result = evaluate(case, inputs, None, {"logits": zeroed})
        assert not result.region("grad_logits", "other").earns("standard"), (case.cell, told(result))
        assert result.region("grad_logits", "target").earns("relative")


def test_a_mean_that_forgets_the_weights_is_caught():
    case, inputs = made(batch=16, classes=10, weight="skewed")
    loss, gradients = torch_answer(case, inputs)
    factor = inputs.weight[inputs.target].sum() / 16
    result = evaluate(case, inputs, loss * factor, {"logits": gradients["logits"] * factor})
    assert not any(result.region(*where).earns("standard") for where in (("loss", "loss"), ("grad_logits", "target")))


def test_truncation_is_allowed_where_the_device_truncates():
    case, inputs = made(batch=64, classes=10, reduction="none", dtype="bfloat16")
    losses, _ = implementations.log1p(inputs.logits.float(), inputs.target)
    cut = (losses.view(torch.int32) & ~0xFFFF).view(torch.float32).bfloat16()
    tight = [evaluate(case, inputs, cut, {}, rounding_ulps=r).region("loss", "loss").earns("tight") for r in (0.5, 1.0)]
    assert tight == [False, True]
