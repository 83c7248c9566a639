"""The oracle against ball arithmetic: its own error is nothing beside the tightest budget."""

import math

import flint
import numpy as np
import pytest
import torch

from harness.losses.cross_entropy.budget_gradient import GradientBudget
from harness.losses.cross_entropy.budget_loss import final_rows, row_budgets
from harness.losses.cross_entropy.evaluate import truth
from harness.losses.cross_entropy.grades import row_errors, rules_for
from harness.losses.cross_entropy.oracle import grad_logits_of
from harness.losses.cross_entropy.problem import pose
from harness.losses.cross_entropy.truth import pieces
from harness.numerics.formats import oracle_dtype
from tests.losses.cross_entropy import arb
from tests.losses.cross_entropy.tools import REGIME_NAMES, by_hand, made

#: Largest error of the oracle allowed, as a share of the tightest budget.
SHARE = {"float32": 1e-6, "float64": 2e-3}

OPTIONS = [
    {},
    {"label_smoothing": 0.1},
    {"weight": "skewed", "label_smoothing": 0.25},
    {"weight": "uniform", "grad_output": "random"},
    {"target": "probability", "weight": "zeros"},
    {"target": "one_hot", "label_smoothing": 0.1},
]


def gradient_budget(piece, errors, problem, rules, gradient):
    budget = GradientBudget(
        rows=piece.rows, errors=errors, mass=piece.mass, problem=problem, rules=rules, scale=piece.scale
    )
    if piece.mass.spread is not None:
        return budget.with_spread("tight", gradient)
    at = (np.arange(len(gradient)), piece.mass.column)
    whole = budget.off_target("tight", gradient)
    whole[at] = budget.at_target("tight", gradient[at])
    return whole


def share(error, budget):
    return 0.0 if error == 0.0 else error / budget


def certify(case, inputs):
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    rules = rules_for(case, len(problem.kept), 0.5)
    (piece,) = pieces(problem, inputs)
    errors = row_errors(piece.rows, rules)
    loss_budget = final_rows(piece.terms.value, row_budgets(piece, errors, problem, rules), rules)["relative"]
    gradient = grad_logits_of(piece.rows, piece.mass, piece.scale)
    budget = gradient_budget(piece, errors, problem, rules, gradient)
    worst = 0.0
    for r in range(case.rows):
        x = inputs.logits[r].double().tolist()
        mass = arb.masses(case, inputs.target[r].double().numpy(), inputs.weight, case.classes)
        loss, expected = arb.row(x, mass, arb.exact(piece.scale[r]))
        if math.isfinite(piece.terms.value[r]):
            worst = max(worst, share(arb.error(piece.terms.value[r], loss), loss_budget[r]))
        for i in range(case.classes):
            worst = max(worst, share(arb.error(gradient[r, i], expected[i]), budget[r, i]))
    return worst


@pytest.mark.parametrize("regime", [name for name in REGIME_NAMES if name != "nonfinite"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_oracle_agrees_with_ball_arithmetic(dtype, regime):
    for classes in (1, 2, 3, 17):
        for options in OPTIONS[: 6 if classes == 3 else 1]:
            axes = {"batch": 3, "classes": classes, "dtype": dtype, "regime": regime, "reduction": "none", **options}
            drawn = made(**axes)
            if drawn is not None:
                assert certify(*drawn) <= SHARE[dtype], drawn[0].cell


def test_a_loss_near_zero_is_right_in_every_digit():
    for gap in (17.0, 40.0, 88.0):
        case, inputs = by_hand([[gap, 0.0, 0.0]], [0], torch.float64, reduction="none")
        expected = (1 + 2 * (-flint.arb(gap)).exp()).log()
        assert abs(float(arb.exact(truth(case, inputs).loss.numpy()[0]) / expected) - 1) < 2**-52


def test_the_targets_gradient_does_not_cancel():
    case, inputs = by_hand([[60.0, 0.0]], [0], torch.float32, reduction="sum")
    gradient = truth(case, inputs).gradients["logits"][0]
    assert gradient[0] == -gradient[1]
    assert gradient[1].item() == pytest.approx(math.exp(-60), rel=1e-6)
