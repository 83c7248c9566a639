"""Right ways pass, wrong ones do not, and what the budgets cannot see is measured."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from harness.losses.linear_cross_entropy.describe import REGIMES
from harness.losses.linear_cross_entropy.evaluate import evaluate, truth
from harness.losses.linear_cross_entropy.inputs import build
from tests.losses.linear_cross_entropy.tools import answer, case_of, in_chunks, judged, plain, upcast, worst

DTYPES = ("float32", "bfloat16", "float16")


@pytest.mark.parametrize("dtype", [*DTYPES, "float64"])
@pytest.mark.parametrize("regime", REGIMES)
def test_torch_keeps_standard_in_every_regime(regime, dtype):
    for bias in ("none", "normal"):
        for reduction in ("none", "mean", "sum"):
            axes = {"regime": regime, "dtype": dtype, "linear_bias": bias, "reduction": reduction, "ignored": 0.25}
            evaluation = judged(case_of(grad_output="random", **axes), plain)
            assert worst(evaluation) <= 1.0, (axes, evaluation.worst("standard"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("regime", ["normal", "sigma10", "confident", "wrong"])
def test_float32_throughout_earns_tight(regime, dtype):
    for reduction in ("mean", "sum"):
        evaluation = judged(case_of(regime=regime, dtype=dtype, reduction=reduction), upcast)
        assert evaluation.grade in ("tight", "relative"), evaluation.worst("tight")


@pytest.mark.parametrize("target", ["zipf", "first", "last", "probability", "one_hot"])
@pytest.mark.parametrize("weight", ["none", "skewed"])
def test_options_and_targets_of_every_kind(weight, target):
    for smoothing in (0.0, 0.1):
        axes = {"target": target, "weight": weight, "label_smoothing": smoothing, "linear_bias": "normal"}
        assert worst(judged(case_of(classes=33, **axes), plain)) <= 1.0, axes


def test_chunks_of_rows_keep_standard():
    for rows in (1, 5, 16):
        assert worst(judged(case_of(batch=23, ignored=0.3, linear_bias="normal"), in_chunks(rows))) <= 1.0


def test_the_truth_is_that_of_float64_autograd():
    case = case_of(batch=5, features=7, classes=11, dtype="float32", linear_bias="normal", ignored=0.2, weight="skewed")
    inputs = build(case)
    tensors = [inputs.logits, inputs.others["linear_weight"], inputs.others["linear_bias"]]
    leaves = [tensor.double().requires_grad_() for tensor in tensors]
    loss = F.cross_entropy(F.linear(*leaves), inputs.target, weight=inputs.weight.double())
    gradients = torch.autograd.grad(loss, leaves)
    found = truth(case, inputs)
    torch.testing.assert_close(found.loss.double(), loss.detach(), rtol=1e-7, atol=0)
    for mine, theirs in zip(found.gradients.values(), gradients, strict=True):
        torch.testing.assert_close(mine.double(), theirs, rtol=1e-6, atol=1e-9)


def test_the_correctly_rounded_truth_earns_the_strictest_grade():
    for dtype in (*DTYPES, "float64"):
        case = case_of(dtype=dtype, linear_bias="normal", ignored=0.25)
        inputs = build(case)
        exact = truth(case, inputs)
        assert evaluate(case, inputs, exact.loss, exact.gradients).grade == "relative"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("value", "region"),
    [
        ("logits", "kept"), ("linear_weight", "target"), ("linear_weight", "other"), ("linear_bias", "target"),
        ("linear_bias", "other"),
    ],
)  # fmt: skip
def test_a_zeroed_region_is_seen(value, region, dtype):
    case = case_of(dtype=dtype, linear_bias="normal", ignored=0.25)
    inputs = build(case)
    exact = truth(case, inputs)
    gradients = {name: gradient.clone() for name, gradient in exact.gradients.items()}
    targets = torch.zeros(case.classes, dtype=torch.bool)
    targets[inputs.target[inputs.target >= 0]] = True
    where = {"kept": inputs.target >= 0, "target": targets, "other": ~targets}[region]
    gradients[value][where] = 0.0
    name = "grad_input" if value == "logits" else f"grad_{value}"
    found = evaluate(case, inputs, exact.loss, gradients).region(name, region)
    assert found.worst["standard"].ratio > 1.0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_wrong_gradient_off_the_target_is_seen_through_both_products(dtype):
    """Off-target softmax left out of the products, as no fixed tolerance sees it at many classes."""

    def blind(hidden, linear_weight, target, *, linear_bias=None, **options):
        class Zeroed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, logits):
                return logits.clone()

            @staticmethod
            def backward(ctx, gradient):
                kept = torch.zeros_like(gradient)
                return kept.scatter(1, target[:, None], gradient.gather(1, target[:, None]))

        return F.cross_entropy(Zeroed.apply(F.linear(hidden, linear_weight, linear_bias)), target, **options)

    for classes in (257, 32000):
        evaluation = judged(case_of(batch=8, classes=classes, dtype=dtype), blind)
        assert evaluation.region("grad_linear_weight", "other").worst["standard"].ratio > 1.0
        if dtype == "float32":
            assert evaluation.region("grad_input", "kept").worst["standard"].ratio > 1.0


def test_thousands_of_rows_in_bfloat16_do_not_hide_a_gradient_of_zero():
    case = case_of(batch=4096, features=8, classes=64, dtype="bfloat16", target="first")
    inputs = build(case)
    exact = truth(case, inputs)
    gradients = {name: gradient.clone() for name, gradient in exact.gradients.items()}
    gradients["linear_weight"][1:] = 0.0
    found = evaluate(case, inputs, exact.loss, gradients).region("grad_linear_weight", "other")
    assert found.worst["standard"].ratio > 1.0
    assert worst(judged(case, plain)) <= 1.0


def test_ignored_rows_must_have_a_gradient_of_exactly_zero():
    case = case_of(ignored=0.25)
    inputs, loss, gradients = answer(case, plain)
    row = int((inputs.target < 0).nonzero()[0])
    gradients["logits"][row, 3] = 1e-30
    report = evaluate(case, inputs, loss, gradients).region("grad_input", "ignored")
    assert report.worst["standard"].index == (row, 3)
    assert report.worst["standard"].ratio > 1.0


def test_values_that_the_case_has_not_are_refused():
    case = case_of(batch=2, features=4, classes=3)
    inputs, loss, gradients = answer(case, plain)
    with pytest.raises(ValueError, match="no gradient of linear_bias"):
        evaluate(case, inputs, loss, {**gradients, "linear_bias": torch.zeros(3)})
    with pytest.raises(ValueError, match="shape"):
        evaluate(case, inputs, loss, {"logits": torch.zeros(2, 3)})
