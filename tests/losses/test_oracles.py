"""The oracles of the losses beside cross-entropy against ball arithmetic: answers correctly rounded, or nearly."""

from __future__ import annotations

from itertools import product

import pytest
import torch

from harness.losses.catalogue import families
from harness.losses.evaluators import true_answer
from harness.losses.inputs import build_inputs
from harness.numerics.formats import FORMATS

balls = pytest.importorskip("tests.losses.balls", reason="python-flint is missing", exc_type=ImportError)

#: What the oracle may be off of the terms of an entry: a few roundings in float64, or in extended precision.
SHARE = {"float32": 64 * 2.0**-53, "bfloat16": 64 * 2.0**-53, "float16": 64 * 2.0**-53, "float64": 64 * 2.0**-64}
#: The rest must be the one rounding of the answer.
ROUNDING = 1 + 2.0**-20

OPTIONS = {
    "softmax": {"dim": [1, 0]},
    "log_softmax": {"dim": [1, 0]},
    "sigmoid": {},
    "nll_loss": {"reduction": ["none", "mean", "sum"], "weight": ["none", "skewed"], "ignored": [0.0, 0.3]},
    "mse_loss": {"reduction": ["none", "mean", "sum"], "target": ["values", "near"]},
    "kl_div": {"reduction": ["none", "batchmean"], "target": ["probability", "one_hot"], "log_target": [False, True]},
    "binary_cross_entropy": {
        "reduction": ["none", "mean"], "target": ["binary", "probability"], "weight": ["none", "skewed"],
    },
    "binary_cross_entropy_with_logits": {
        "reduction": ["none", "mean"], "target": ["binary", "probability"], "weight": ["none", "skewed"],
        "pos_weight": ["none", "uniform"],
    },
}  # fmt: skip
#: Ordinary, sure, wrong, shifted, spread over 1e4, and at the end of the format's range.
REGIMES = ("normal", "sigma10", "confident", "wrong", "offset", "wide", "edge", "near_one_hot_90", "denormal")


def cells(loss, dtype, regime):
    """Small cells in every combination of the options that has a meaning."""
    family = families()[loss]
    for values in product(*OPTIONS[loss].values()):
        for classes, dims in ((5, ()), (3, (2,))):
            axes = dict(zip(OPTIONS[loss], values, strict=True))
            case = family.case(
                batch=3, classes=classes, dims=dims, dtype=dtype, regime=regime, grad_output="random", **axes
            )
            # log-probabilities of logits at the end of the range are infinite, which is another test's matter
            infinite = regime == "edge" and loss in ("kl_div", "nll_loss")
            if family.refusal(case) is None and not infinite:
                yield case


def off(case):
    """Name → how far the oracle's answer is from the truth, as a share of half an ulp."""
    inputs = build_inputs(case)
    loss, gradients = true_answer(case.loss)(case, inputs)
    found = {"loss": loss, **gradients}
    exact = balls.answer(case, inputs)
    finite = {name: tensor.where(_defined(case, inputs, name), 0.0) for name, tensor in found.items()}
    return {
        name: balls.excess(tensor, _where_defined(case, inputs, name, exact[name]), FORMATS[case.dtype],
                           share=SHARE[case.dtype])
        for name, tensor in finite.items()
    }  # fmt: skip


def _defined(case, inputs, name):
    """Where the entry has a value: a derivative by the target has none where a logarithm is clamped or infinite."""
    x, t = inputs.logits.double(), inputs.target
    if name == "target" and case.loss == "binary_cross_entropy":
        return (x > 0) & (x < 1) & (torch.minimum(x.log(), torch.log1p(-x)) > -100)
    if name == "target" and case.loss == "kl_div" and not dict(case.options).get("log_target"):
        return t != 0
    return torch.tensor(True)


def _where_defined(case, inputs, name, exact):
    keep = _defined(case, inputs, name)
    if keep.ndim == 0:
        return exact
    zero = exact.value * 0
    at = keep.numpy()
    value = balls.np.where(at, exact.value, zero)
    return balls.Exact(value=value, terms=balls.np.where(at, exact.terms, zero))


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("loss", OPTIONS)
def test_the_oracle_is_right_but_for_one_rounding(loss, regime):
    for dtype in ("float32", "float64", "bfloat16", "float16"):
        asked = list(cells(loss, dtype, regime))
        for case in asked if dtype in ("float32", "float64") else asked[:1]:
            assert {name: worst for name, worst in off(case).items() if worst > ROUNDING} == {}, case.cell


def test_every_family_without_a_test_of_its_own_is_tested_here():
    assert set(families()) - set(OPTIONS) == {"cross_entropy", "linear_cross_entropy"}
