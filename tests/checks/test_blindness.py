"""What a check can see is measured: a zeroed region, and the smallest scaling of it that is caught."""

from __future__ import annotations

import pytest
import torch

from harness.checks.blindness import sample_of, sights
from harness.core.case import Case
from harness.losses.catalogue import family_of
from harness.losses.cross_entropy.regions import region_masks
from harness.losses.inputs import build_inputs


def seen(case: Case) -> dict[str, object]:
    asked, inputs = sample_of(case)
    return {sight.region: sight for sight in sights(asked, inputs, grade="standard", rounding_ulps=0.5)}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
def test_ordinary_logits_show_a_zeroed_region_and_more_than_a_wrong_bit(dtype: str) -> None:
    found = seen(Case(batch=8, classes=10, dtype=dtype))
    assert set(found) == {"loss", "target", "other"}
    assert all(sight.sees_zero for sight in found.values())
    finest = {"float64": 2.0**-40, "float32": 2.0**-12, "bfloat16": 2.0**-4}[dtype]
    assert all(torch.finfo(getattr(torch, dtype)).eps / 4 <= sight.epsilon <= finest for sight in found.values())


def test_the_smallest_change_is_that_of_the_budget() -> None:
    case = Case(batch=8, classes=10, reduction="none")
    asked, inputs = sample_of(case)
    epsilon = seen(case)["loss"].epsilon
    from harness.losses.evaluators import evaluator, true_answer

    loss, _ = true_answer(case.loss)(asked, inputs)
    ratios = [
        evaluator(case.loss)(asked, inputs, loss * (1 + each), {}).region("loss", "loss").worst["standard"].ratio
        for each in (epsilon, epsilon / 4)
    ]
    assert ratios[0] > 1 > ratios[1]


def test_a_gradient_below_the_least_number_is_not_seen_and_neither_is_a_loss_that_rounds_away() -> None:
    assert not seen(Case(batch=8, classes=10, regime="near_one_hot_90"))["other"].sees_zero
    assert not seen(Case(batch=8, classes=10, regime="confident"))["loss"].sees_zero
    assert seen(Case(batch=8, classes=10, regime="confident"))["other"].sees_zero


def test_a_vocabulary_at_which_fixed_tolerances_are_blind_is_seen() -> None:
    found = seen(Case(batch=4, classes=262144))
    assert found["other"].sees_zero
    assert found["other"].epsilon < 0.01


def test_what_is_zero_has_nothing_to_be_zeroed() -> None:
    assert seen(Case(batch=4, classes=10, ignored=1.0, reduction="none")) == {}
    assert seen(Case(batch=4, classes=1)) == {}


def test_probability_targets_are_one_region_and_ignored_rows_are_in_none() -> None:
    case = Case(batch=4, classes=5, dims=(3,), ignored=0.5)
    inputs = build_inputs(case)
    masks = region_masks(case, inputs)
    own, other = masks["grad_logits", "target"], masks["grad_logits", "other"]
    kept = inputs.target != case.ignore_index
    assert int(own.sum()) == int(kept.sum())
    assert bool(((own | other).any(1) == kept).all())
    case = Case(batch=4, classes=5, target="probability")
    assert set(region_masks(case, build_inputs(case))) == {("loss", "loss"), ("grad_logits", "probability")}


def test_large_cells_are_looked_at_in_a_few_rows_that_keep_their_share_of_the_mean() -> None:
    whole = Case(batch=4096, classes=1024)
    asked, inputs = sample_of(whole)
    assert asked.batch == 32
    assert float(inputs.grad_output) == 32 / 4096
    assert sample_of(Case(batch=8, classes=10))[0].batch == 8


def test_a_linear_loss_is_seen_in_each_of_its_gradients() -> None:
    case = family_of("linear_cross_entropy").case(batch=6, classes=9, features=5, reduction="none")
    asked, inputs = sample_of(case)
    found = sights(asked, inputs, grade="standard", rounding_ulps=0.5)
    assert {"loss", "grad_input", "grad_linear_weight"} <= {sight.value for sight in found}
    assert all(sight.sees_zero for sight in found)


REGIONS = {
    "softmax": {"largest", "other"},
    "log_softmax": {"largest", "other"},
    "sigmoid": {"low", "middle", "high"},
    "nll_loss": {"loss", "target"},
    "mse_loss": {"small", "large"},
    "kl_div": {"likely", "unlikely"},
    "binary_cross_entropy": {"positive", "negative", "saturated", "label"},
    "binary_cross_entropy_with_logits": {"positive", "negative", "saturated", "label"},
}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("loss", REGIONS)
def test_logits_of_every_size_show_each_region_of_the_other_losses(loss: str, dtype: str) -> None:
    axes = {} if family_of(loss).axis("reduction").allowed == ("none",) else {"reduction": "none"}
    case = family_of(loss).case(batch=16, classes=33, dtype=dtype, regime="sigma10", grad_output="random", **axes)
    asked, inputs = sample_of(case)
    found = sights(asked, inputs, grade="standard", rounding_ulps=0.5)
    assert {sight.region for sight in found} == REGIONS[loss]
    assert [sight for sight in found if not sight.sees_zero] == []


def test_a_reduced_loss_is_one_region() -> None:
    case = family_of("mse_loss").case(batch=8, classes=10, reduction="mean")
    found = sights(*sample_of(case), grade="standard", rounding_ulps=0.5)
    assert {sight.region for sight in found if sight.value == "loss"} == {"loss"}


def test_of_equal_upstream_gradients_a_softmax_shows_nothing_of_its_own() -> None:
    case = family_of("softmax").case(batch=16, classes=33)
    found = sights(*sample_of(case), grade="standard", rounding_ulps=0.5)
    assert {sight.value: sight.sees_zero for sight in found} == {"loss": True, "grad_logits": False}
