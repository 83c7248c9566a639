import math

import pytest
import torch

from harness.core.case import DTYPES, Case
from harness.inputs.build import build_inputs
from harness.inputs.catalogue import REGIMES

ROWS, CLASSES = 64, 50
LOG_C = math.log(CLASSES)

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def built(regime, dtype, **axes):
    """Logits widened to float64 (exactly), targets."""
    inputs = build_inputs(Case(**{"batch": ROWS, "classes": CLASSES, "regime": regime, "dtype": dtype, **axes}))
    assert inputs.logits.dtype == getattr(torch, dtype)
    assert not inputs.logits.requires_grad
    return inputs.logits.double(), inputs.target


def at_target(logits, target):
    return logits.gather(1, target.unsqueeze(1)).squeeze(1)


def others(logits, target):
    return logits.scatter(1, target.unsqueeze(1), -math.inf)


def info(dtype):
    return torch.finfo(getattr(torch, dtype))


def slack(dtype, size):
    """Rounding of values up to ``size``."""
    return 2 * info(dtype).eps * size


@every_dtype
@pytest.mark.parametrize(("regime", "sigma"), [("normal", 1), ("small", 0.1), ("sigma10", 10)])
def test_normal_regimes_have_their_mean_and_spread(regime, sigma, dtype):
    logits, _ = built(regime, dtype)
    assert abs(logits.mean()) < 0.1 * sigma
    assert abs(logits.std() / sigma - 1) < 0.05


@every_dtype
def test_uniform_fills_the_unit_interval(dtype):
    logits, _ = built("uniform", dtype)
    assert 0 <= logits.min() < 0.01
    assert 0.99 < logits.max() <= 1
    assert abs(logits.mean() - 0.5) < 0.02


@every_dtype
def test_equal_rows_are_constant_at_several_levels(dtype):
    logits, _ = built("equal", dtype)
    assert (logits == logits[:, :1]).all()
    levels = set(logits[:, 0].tolist())
    assert {0.0, torch.tensor(0.1, dtype=getattr(torch, dtype)).item()} <= levels
    assert any(level > 9000 for level in levels)
    assert any(0 < abs(level) < 0.09 for level in levels)


@every_dtype
def test_confident_rows_put_nearly_all_probability_on_the_target(dtype):
    logits, target = built("confident", dtype)
    gap = at_target(logits, target) - others(logits, target).amax(1)
    assert (gap > LOG_C + 12 - slack(dtype, 40)).all()
    assert (gap < LOG_C + 25 + slack(dtype, 40)).all()
    assert (at_target(logits.softmax(1), target) > 0.99999).all()


@every_dtype
def test_wrong_rows_put_nearly_all_probability_elsewhere(dtype):
    logits, target = built("wrong", dtype)
    assert (at_target(logits.softmax(1), target) < 1e-4).all()
    assert (logits.softmax(1).amax(1) > 0.99999).all()


@every_dtype
@pytest.mark.parametrize("gap", [12, 25, 90])
def test_near_one_hot_rows_have_the_named_gap(gap, dtype):
    logits, target = built(f"near_one_hot_{gap}", dtype)
    found = at_target(logits, target) - others(logits, target).amax(1)
    assert (found - LOG_C - gap).abs().max() <= slack(dtype, 110)
    logits, target = built(f"near_one_hot_{gap}_other", dtype)
    assert (logits.argmax(1) != target).all()
    top = logits.topk(2, dim=1).values
    assert (top[:, 0] - top[:, 1] - LOG_C - gap).abs().max() <= slack(dtype, 110)


@every_dtype
def test_offset_shifts_whole_rows_both_ways(dtype):
    logits, _ = built("offset", dtype)
    assert set(logits.sign()[:, 0].tolist()) == {-1.0, 1.0}
    assert (logits.sign() == logits.sign()[:, :1]).all()
    assert ((logits.abs() - 1e4).abs() < 10 + slack(dtype, 1e4)).all()


@every_dtype
def test_huge_offset_rows_hold_an_equal_pair_far_above_the_rest(dtype):
    logits, target = built("huge_offset", dtype)
    assert logits.isfinite().all()
    top = at_target(logits, target)
    assert (logits <= top.unsqueeze(1)).all()
    assert ((logits == top.unsqueeze(1)).sum(1) == 2).all()
    below = (logits - top.unsqueeze(1))[logits != top.unsqueeze(1)]
    assert (below < -8000).all()
    sizes = sorted(set(top.abs().tolist()))
    assert sizes == ([32752] if dtype == "float16" else pytest.approx([1e8, 1e30], rel=0.01))


@every_dtype
def test_wide_spreads_over_1e4_within_the_range_of_the_dtype(dtype):
    logits, _ = built("wide", dtype)
    assert logits.isfinite().all()
    assert logits.std() > 9000
    assert logits.abs().max() <= info(dtype).max


@every_dtype
def test_edge_holds_both_largest_values_and_keeps_the_loss_finite(dtype):
    logits, target = built("edge", dtype)
    largest = info(dtype).max
    assert logits.isfinite().all()
    assert {largest, -largest} <= set(logits.flatten().tolist())
    assert (logits.abs() < 10).any()
    assert (at_target(logits, target) == logits.amax(1)).all()
    lowest_throughout = (logits == -largest).all(1)
    target_alone = (logits == -largest).sum(1) == CLASSES - 1
    assert lowest_throughout.any()
    assert target_alone.any()


@every_dtype
def test_edge_wrong_has_the_target_lowest_and_another_class_largest(dtype):
    logits, target = built("edge_wrong", dtype)
    assert logits.isfinite().all()
    assert (at_target(logits, target) == -info(dtype).max).all()
    assert (logits.amax(1) == info(dtype).max).all()


@every_dtype
@pytest.mark.parametrize("classes", [2, 3, CLASSES])
def test_masked_rows_lose_exactly_half_of_the_classes_and_keep_the_target(dtype, classes):
    logits, target = built("masked", dtype, classes=classes)
    masked = logits == -math.inf
    assert (masked.sum(1) == classes // 2).all()
    assert at_target(logits, target).isfinite().all()
    assert len(set(map(tuple, masked.tolist()))) > 1
    assert logits[~masked].isfinite().all()


@every_dtype
def test_masked_target_loses_the_target_alone(dtype):
    logits, target = built("masked_target", dtype)
    assert (at_target(logits, target) == -math.inf).all()
    assert (logits.isinf().sum(1) == 1).all()


@every_dtype
def test_lone_rows_keep_the_target_alone(dtype):
    logits, target = built("lone", dtype)
    assert (logits.isfinite().sum(1) == 1).all()
    assert at_target(logits, target).isfinite().all()
    assert not logits.isnan().any()


@every_dtype
def test_swamp_entries_round_away_when_added_to_the_first(dtype):
    logits, _ = built("swamp", dtype)
    assert (logits[:, 0] == 0).all()
    assert (logits[:, 1:] == logits[0, 1]).all()
    roundoff = torch.finfo(torch.float64 if dtype == "float64" else torch.float32).eps / 2
    assert 0.85 * roundoff < math.exp(logits[0, 1]) < roundoff


@every_dtype
def test_sorted_rows_are_sorted(dtype):
    ascending, _ = built("sorted_ascending", dtype)
    descending, _ = built("sorted_descending", dtype)
    assert (ascending.diff(dim=1) >= 0).all()
    assert (descending.diff(dim=1) <= 0).all()
    assert ascending.std() > 0.9


@every_dtype
@pytest.mark.parametrize("classes", [2, CLASSES])
def test_ties_share_the_maximum_between_target_and_others(dtype, classes):
    logits, target = built("ties", dtype, classes=classes)
    top = logits.amax(1, keepdim=True)
    assert (at_target(logits, target) == top.squeeze(1)).all()
    assert ((logits == top).sum(1) >= 2).all()


@every_dtype
def test_denormal_logits_are_subnormal_of_both_signs_and_not_zero(dtype):
    inputs = build_inputs(Case(batch=ROWS, classes=CLASSES, regime="denormal", dtype=dtype))
    smallest = info(dtype).tiny * info(dtype).eps
    steps = inputs.logits.double() / smallest
    assert (steps == steps.round()).all()
    assert set(steps.abs().unique().tolist()) == set(map(float, range(1, 101)))
    assert {-1.0, 1.0} == set(steps.sign().unique().tolist())


@every_dtype
def test_nonfinite_rows_stand_among_ordinary_ones(dtype):
    logits, _ = built("nonfinite", dtype)
    kind = torch.arange(ROWS) % 8
    assert (logits[kind == 1] == -math.inf).all()
    assert (logits[kind == 3].isnan().sum(1) == 1).all()
    assert ((logits[kind == 5] == math.inf).sum(1) == 1).all()
    ordinary = (kind != 1) & (kind != 3) & (kind != 5)
    assert logits[ordinary].isfinite().all()
    assert not logits[kind == 3].isinf().any()


@every_dtype
def test_captured_rows_are_rows_of_the_capture_with_their_targets(dtype):
    from harness.inputs.capture import load_capture

    capture = load_capture("captured")
    logits, target = built("captured", dtype, classes=10)
    rounded = torch.from_numpy(capture.logits).float().to(getattr(torch, dtype)).double()
    for row, label in zip(logits, target, strict=True):
        found = (rounded == row).all(1).nonzero().flatten()
        assert label in torch.from_numpy(capture.target)[found]


@pytest.mark.parametrize("regime", [name for name in REGIMES if name != "captured"])
def test_a_row_does_not_depend_on_how_many_are_made_at_once(regime, monkeypatch):
    case = Case(batch=9, classes=7, dims=(3,), regime=regime)
    whole = build_inputs(case)
    monkeypatch.setattr("harness.inputs.logits._PIECE", {"cpu": 1})
    pieces = build_inputs(case)
    assert torch.equal(whole.logits.nan_to_num(7.5), pieces.logits.nan_to_num(7.5))
    assert torch.equal(whole.target, pieces.target)


@pytest.mark.parametrize("regime", sorted(REGIMES))
def test_every_regime_is_made_at_its_smallest_size(regime):
    meta = REGIMES[regime]
    classes = 10 if regime == "captured" else meta.min_classes
    inputs = build_inputs(Case(batch=meta.min_rows or 1, classes=classes, regime=regime))
    assert inputs.logits.shape == (meta.min_rows or 1, classes)
