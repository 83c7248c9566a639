"""Semantics: what the truth is at the edges, and what is reported where."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.losses.cross_entropy.evaluate import evaluate, truth
from tests.losses.cross_entropy.tools import HandMade, by_hand, made, told, torch_answer

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"label_smoothing": 0.3},
        {"weight": "uniform", "label_smoothing": 0.3},
        {"ignored": 0.4, "weight": "skewed", "ignore_index": 1},
        {"target": "probability"},
        {"target": "probability", "weight": "uniform", "label_smoothing": 0.3},
        {"dims": (2, 3), "ignored": 0.2, "layout": "transposed"},
        {"dims": (3,), "target": "probability", "weight": "uniform", "layout": "padded"},
        {"layout": "sliced", "grad_output": "random"},
    ],
)
def test_truth_is_torchs_float64_to_its_last_digits(reduction, options):
    case, inputs = made(batch=5, classes=7, dtype="float64", reduction=reduction, **options)
    exact = truth(case, inputs)
    loss, gradients = torch_answer(case, inputs)
    torch.testing.assert_close(exact.loss, loss, rtol=1e-13, atol=1e-14)
    assert exact.gradients.keys() == gradients.keys()
    for name, gradient in gradients.items():
        torch.testing.assert_close(exact.gradients[name], gradient, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("row", [[-INF, -INF, -INF], [0.0, NAN, 1.0], [0.0, INF, 1.0]])
def test_rows_without_a_softmax_are_nan_and_leave_the_others_alone(row):
    case, inputs = by_hand([[0.0, 1.0, 2.0], row], [0, 2], reduction="none")
    exact = truth(case, inputs)
    assert exact.loss.isnan().tolist() == [False, True]
    assert exact.gradients["logits"].isnan().all(1).tolist() == [False, True]
    assert evaluate(case, inputs, *torch_answer(case, inputs)).grade is not None
    leaked = {"logits": torch.full((2, 3), NAN)}
    assert evaluate(case, inputs, None, leaked).region("grad_logits", "other").mismatches == 2


@pytest.mark.parametrize("row", [[0.0, NAN, 1.0], [-INF, -INF, -INF]])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_a_row_of_weight_0_may_be_left_unread_or_be_nan(row, reduction):
    case, inputs = by_hand([[0.0, 1.0, 2.0], row], [0, 2], reduction=reduction, weight_values=[1.0, 1.0, 0.0])
    loss, gradients = torch_answer(case, inputs)
    assert loss.isnan().any()
    assert evaluate(case, inputs, loss, gradients).grade is not None
    read = replace(inputs, logits=torch.tensor([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]))
    loss, gradients = torch_answer(case, read)
    assert evaluate(case, inputs, loss, gradients).grade is not None
    gradients["logits"][1, 0] = 0.5
    assert evaluate(case, inputs, loss, gradients).grade is None
    assert evaluate(case, inputs, loss + 0.1, {}).grade is None


def test_a_row_that_counts_may_not_be_left_unread():
    case, inputs = by_hand([[0.0, 1.0, 2.0], [0.0, NAN, 1.0]], [0, 2], reduction="none", weight_values=[1.0, 0.0, 1.0])
    loss, gradients = torch_answer(case, inputs)
    assert evaluate(case, inputs, loss.nan_to_num(0.0), {}).grade is None
    assert evaluate(case, inputs, None, {"logits": gradients["logits"].nan_to_num(0.0)}).grade is None


def test_an_ignored_row_is_exactly_zero_whatever_it_holds():
    case, inputs = by_hand([[NAN, INF], [0.0, 1.0]], [-100, 1], reduction="none")
    exact = truth(case, inputs)
    assert (exact.loss[0].item(), exact.gradients["logits"][0].tolist()) == (0.0, [0.0, 0.0])
    wrong = {"logits": exact.gradients["logits"] + torch.tensor([[0.0, 1e-30], [0.0, 0.0]])}
    result = evaluate(case, inputs, exact.loss, wrong)
    assert result.region("loss", "ignored").earns("relative")
    assert result.region("grad_logits", "ignored").worst["standard"].index == (0, 1)
    assert result.grade is None


@pytest.mark.parametrize(("reduction", "expected"), [("mean", NAN), ("sum", 0.0)])
def test_all_rows_ignored(reduction, expected):
    case, inputs = by_hand([[0.0, 1.0], [2.0, 3.0]], [-100, -100], reduction=reduction)
    exact = truth(case, inputs)
    assert exact.loss.item() == expected or (math.isnan(expected) and exact.loss.isnan())
    assert (exact.gradients["logits"] == 0).all()
    assert evaluate(case, inputs, *torch_answer(case, inputs)).grade == "relative"


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_no_rows_at_all(reduction):
    case, inputs = by_hand(
        torch.zeros(0, 3).tolist() or np.zeros((0, 3)), np.zeros(0, dtype=np.int64), reduction=reduction
    )
    exact = truth(case, inputs)
    assert exact.loss.shape == ((0,) if reduction == "none" else ())
    assert reduction != "mean" or exact.loss.isnan()
    assert reduction != "sum" or exact.loss == 0
    assert evaluate(case, inputs, exact.loss, exact.gradients).grade == "relative"


def test_a_mean_over_weights_that_sum_to_zero_is_nan_with_its_gradient():
    case, inputs = by_hand([[0.0, 1.0]], [0], weight_values=[0.0, 1.0], weight="zeros")
    exact = truth(case, inputs)
    assert exact.loss.isnan()
    assert exact.gradients["logits"].isnan().all()
    assert evaluate(case, inputs, *torch_answer(case, inputs)).grade == "relative"


def test_the_targets_own_logit_at_minus_infinity_gives_inf_and_a_finite_gradient():
    case, inputs = by_hand([[-INF, 0.0, 0.0]], [0], reduction="mean")
    exact = truth(case, inputs)
    assert exact.loss.item() == INF
    assert exact.gradients["logits"].tolist() == [[-1.0, 0.5, 0.5]]
    assert evaluate(case, inputs, *torch_answer(case, inputs)).grade is not None


def test_smoothing_over_a_masked_class_gives_inf():
    case, inputs = by_hand([[0.0, -INF, 1.0]], [0], label_smoothing=0.1)
    assert truth(case, inputs).loss.item() == INF


def test_no_mass_on_a_masked_class_contributes_nothing():
    case, inputs = by_hand([[0.0, -INF, 0.0]], [[1.0, 0.0, 0.0]], target="one_hot")
    assert truth(case, inputs).loss.item() == pytest.approx(math.log(2), rel=1e-7)
    result = evaluate(case, inputs, *torch_answer(case, inputs, leaves=("logits",)))
    assert result.region("loss", "loss").mismatches == 1, "torch multiplies 0 by inf here"
    case, inputs = by_hand([[-INF, 0.0]], [0], weight_values=[0.0, 1.0], weight="zeros", reduction="sum")
    assert truth(case, inputs).loss.item() == 0.0


def test_gradient_of_a_probability_on_a_masked_class_is_inf():
    case, inputs = by_hand([[0.0, -INF]], [[1.0, 0.0]], target="one_hot")
    assert truth(case, inputs).gradients["target"].tolist() == [[0.0, INF]]


def test_float16_means_of_finite_losses_must_be_finite():
    case, inputs = made(batch=24, classes=10, dtype="float16", regime="wide")
    loss, gradients = torch_answer(case, inputs)
    assert loss.item() == INF, "torch sums the rows in float16"
    assert evaluate(case, inputs, loss, {}).region("loss", "loss").mismatches == 1
    assert evaluate(case, inputs, None, gradients).grade is not None


def test_a_float16_row_whose_loss_overflows_may_make_the_mean_inf_for_standard_alone():
    case, inputs = by_hand([[65504.0, -65504.0], [0.0, 0.0], [0.0, 0.0]], [1, 0, 0], torch.float16)
    exact = truth(case, inputs).loss
    assert math.isfinite(exact.item())
    assert evaluate(case, inputs, torch.tensor(INF, dtype=torch.float16), {}).grade == "standard"
    assert evaluate(case, inputs, exact, {}).grade == "relative"


def test_indices_point_into_the_tensors_own_shape():
    case, inputs = made(batch=3, classes=4, dims=(2, 5), reduction="none")
    exact = truth(case, inputs)
    gradient, loss = exact.gradients["logits"].clone(), exact.loss.clone()
    n, d, k = 2, 1, 3
    target = inputs.target[n, d, k].item()
    other = (target + 1) % 4
    gradient[n, other, d, k] += 0.25
    gradient[n, target, d, k] += 0.5
    loss[n, d, k] += 1.0
    result = evaluate(case, inputs, loss, {"logits": gradient})
    found = {(r.value, r.region): r.worst["standard"] for r in result.regions}
    assert found["grad_logits", "other"].index == (n, other, d, k)
    assert found["grad_logits", "target"].index == (n, target, d, k)
    assert found["loss", "loss"].index == (n, d, k)
    assert [w.violations for w in found.values()] == [1, 1, 1]
    assert found["loss", "loss"].error == pytest.approx(1.0, rel=1e-6)
    assert found["grad_logits", "other"].found == gradient[n, other, d, k].item()


def test_regions_have_their_entries():
    case, inputs = made(batch=10, classes=6, ignored=0.3, reduction="none")
    result = evaluate(case, inputs, *torch_answer(case, inputs))
    ignored = int((inputs.target == -100).sum())
    assert ignored
    entries = {(r.value, r.region): r.entries for r in result.regions}
    assert entries == {
        ("loss", "loss"): 10 - ignored,
        ("loss", "ignored"): ignored,
        ("grad_logits", "target"): 10 - ignored,
        ("grad_logits", "other"): 5 * (10 - ignored),
        ("grad_logits", "ignored"): 6 * ignored,
    }
    case, inputs = made(batch=10, classes=6, target="probability", weight="uniform")
    result = evaluate(case, inputs, *torch_answer(case, inputs))
    entries = {(r.value, r.region): r.entries for r in result.regions}
    assert entries == {
        ("loss", "loss"): 1,
        ("grad_logits", "probability"): 60,
        ("grad_target", "probability"): 60,
        ("grad_weight", "probability"): 6,
    }


def test_scaling_one_region_is_seen_there():
    case, inputs = made(batch=6, classes=5, target="probability", weight="uniform", dtype="float64")
    exact = truth(case, inputs)
    for name in ("logits", "target", "weight"):
        scaled = {**exact.gradients, name: exact.gradients[name] * 1.00001}
        result = evaluate(case, inputs, exact.loss, scaled)
        assert [r.value for r in result.regions if not r.earns("standard")] == [f"grad_{name}"], told(result)


def test_wrong_shapes_and_values_are_refused():
    case, inputs = made(batch=4, classes=5)
    loss, gradients = torch_answer(case, inputs)
    with pytest.raises(ValueError, match=r"loss has shape \(4,\), the case needs \(\)"):
        evaluate(case, inputs, loss.expand(4), {})
    with pytest.raises(ValueError, match=r"gradient of logits has shape \(5, 4\), the case needs \(4, 5\)"):
        evaluate(case, inputs, None, {"logits": gradients["logits"].T})
    with pytest.raises(ValueError, match="no gradient of weight in this case; allowed are logits"):
        evaluate(case, inputs, None, {"weight": torch.ones(5)})
    wrong = HandMade(logits=inputs.logits, target=inputs.target + 4, weight=None, grad_output=inputs.grad_output)
    with pytest.raises(ValueError, match="class indices run from"):
        truth(case, wrong)


def test_inputs_are_left_as_they_were():
    case, inputs = made(batch=4, classes=5, regime="wide", target="probability", label_smoothing=0.1)
    copies = inputs.logits.clone(), inputs.target.clone()
    evaluate(case, inputs, *torch_answer(case, inputs))
    assert torch.equal(inputs.logits, copies[0])
    assert torch.equal(inputs.target, copies[1])


def test_many_blocks_give_what_one_block_gives(monkeypatch):
    case, inputs = made(batch=37, classes=11, ignored=0.3, weight="uniform", reduction="none")
    answer = torch_answer(case, inputs)
    whole = evaluate(case, inputs, *answer)
    monkeypatch.setattr("harness.numerics.blocks.blocks.__defaults__", (23,))
    pieces = evaluate(case, inputs, *answer)
    assert {(r.value, r.region): r.worst for r in whole.regions} == {
        (r.value, r.region): r.worst for r in pieces.regions
    }


def test_an_exact_answer_of_torch_is_not_needed_for_a_case_without_gradient():
    case = Case(batch=4, classes=5, pass_="forward_no_grad")
    from harness.inputs.build import build_inputs

    inputs = build_inputs(case)
    result = evaluate(case, inputs, F.cross_entropy(inputs.logits, inputs.target), {})
    assert [r.value for r in result.regions] == ["loss"]
