import math

import pytest
import torch

from harness.core.case import DTYPES, Case
from harness.inputs.build import build_inputs


def built(**axes):
    return build_inputs(Case(**{"batch": 60, "classes": 20, **axes}))


def test_first_and_last_are_the_end_classes():
    assert (built(target="first").target == 0).all()
    assert (built(target="last").target == 19).all()


def test_uniform_reaches_every_class_about_equally():
    counts = built(batch=20_000).target.bincount(minlength=20)
    assert counts.min() > 900
    assert counts.max() < 1100


def test_zipf_halves_from_the_first_class_to_the_second():
    counts = built(batch=20_000, target="zipf").target.bincount(minlength=20).double()
    share = 1 / torch.arange(1, 21).double()
    assert (counts / 20_000 - share / share.sum()).abs().max() < 0.02


@pytest.mark.parametrize("regime", ["normal", "confident", "ties", "lone", "edge", "nonfinite"])
def test_argmax_is_the_largest_logit_of_its_row(regime):
    inputs = built(target="argmax", regime=regime)
    logits = inputs.logits.nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-math.inf)
    assert torch.equal(logits.gather(1, inputs.target.unsqueeze(1)).squeeze(1), logits.amax(1))


@pytest.mark.parametrize("dims", [(), (3, 2)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_probabilities_are_shaped_like_logits_and_sum_to_one(dtype, dims):
    inputs = built(target="probability", dtype=dtype, dims=dims)
    assert inputs.target.shape == inputs.logits.shape
    assert inputs.target.dtype == inputs.logits.dtype
    assert (inputs.target > 0).all()
    error = (inputs.target.double().sum(1) - 1).abs()
    assert error.max() <= 20 * torch.finfo(inputs.target.dtype).eps / 2


def test_one_hot_is_the_uniform_target_in_another_form():
    hot = built(target="one_hot", dims=(3,))
    index = built(dims=(3,))
    assert torch.equal(hot.target.argmax(1), index.target)
    assert torch.equal(hot.target.sum(1), torch.ones(60, 3))
    assert torch.equal(hot.logits, index.logits)


def test_a_regime_built_around_the_target_takes_the_most_probable_class():
    inputs = built(target="probability", regime="confident")
    assert torch.equal(inputs.target.argmax(1), inputs.logits.argmax(1))


@pytest.mark.parametrize("ignore_index", [-100, -1, 5, 19, 500])
@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.001, 1), (0.25, 15), (0.5, 30), (1 / 3, 20), (1.0, 60)])
def test_exactly_the_asked_share_of_rows_is_ignored(share, count, ignore_index):
    target = built(ignored=share, ignore_index=ignore_index).target
    assert (target == ignore_index).sum() == count
    kept = target[target != ignore_index]
    assert ((kept >= 0) & (kept < 20)).all()


def test_ignored_rows_leave_the_other_rows_as_they_were():
    plain, some = built(), built(ignored=0.3)
    kept = some.target != -100
    assert torch.equal(plain.target[kept], some.target[kept])
    assert torch.equal(plain.logits, some.logits)


@pytest.mark.parametrize("target", ["uniform", "zipf", "first", "last", "argmax"])
@pytest.mark.parametrize("ignore_index", [0, 7, 19])
def test_rows_that_are_kept_avoid_an_ignore_index_in_range(target, ignore_index):
    found = built(target=target, ignore_index=ignore_index, batch=500).target
    assert (found != ignore_index).all()
    assert found.min() >= 0
    assert found.max() < 20


def test_captured_rows_avoid_an_ignore_index_in_range():
    target = built(regime="captured", classes=10, ignore_index=3, ignored=0.5).target
    assert (target == 3).sum() == 30


def test_all_rows_ignored_when_the_only_class_is_ignored():
    assert (built(classes=1, ignore_index=0, ignored=1.0).target == 0).all()


@pytest.mark.parametrize("classes", [2, 3, 20])
def test_zero_weights_are_some_and_never_all(classes):
    for seed in range(20):
        weight = built(classes=classes, weight="zeros", seed=seed).weight
        zeros = int((weight == 0).sum())
        assert zeros == max(1, classes // 4)
        assert classes == 2 or (weight[0] > 0 and weight[-1] > 0)


def test_weights_keep_their_ranges():
    assert built().weight is None
    uniform = built(weight="uniform", classes=1000).weight
    assert 0.5 <= uniform.min() < 0.51
    assert 1.49 < uniform.max() <= 1.5
    skewed = built(weight="skewed", classes=1000).weight
    assert 2.0**-9 <= skewed.min() < 2.0**-8
    assert 1.5 < skewed.max() <= 2
    assert uniform.dtype == torch.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_grad_output_has_the_shape_of_the_loss_and_its_kind(dtype):
    rows = built(dtype=dtype, reduction="none", grad_output="random", dims=(3,)).grad_output
    assert rows.shape == (60, 3)
    assert rows[0, 0] == 0
    assert rows.double().std() > 0.8
    scalar = built(dtype=dtype, grad_output="random").grad_output
    assert scalar.shape == ()
    assert scalar == -2.5
    assert (built(dtype=dtype, reduction="none").grad_output == 1).all()
    scale = 65536 if dtype in ("float64", "float32") else 256
    assert built(dtype=dtype, reduction="sum", grad_output="scaled").grad_output == scale
    assert rows.dtype == scalar.dtype == getattr(torch, dtype)
