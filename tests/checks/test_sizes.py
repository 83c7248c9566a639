"""``sizes`` finds faults of single widths, far targets and many rows."""

from itertools import pairwise

import pytest
import torch

from harness.checks.sizes import class_counts
from harness.core.status import Status
from tests.checks.composed import composed, torch_loss
from tests.checks.judging import judge, reasons


def swept(case):
    return ("classes", "swept") in case.options


def far(case):
    return ("targets", "far") in case.options


def rows(case):
    return not case.options


def drops_the_tail_of_wide_rows(logits):
    whole = logits.shape[1] // 64 * 64 if logits.shape[1] > 700 else logits.shape[1]
    return logits - torch.logsumexp(logits[:, :whole], 1, keepdim=True)


def pads_the_maximum_with_zero(logits):
    top = logits.amax(1, keepdim=True)
    top = top.clamp(min=0) if logits.shape[1] % 32 else top
    return logits - top - (logits - top).exp().sum(1, keepdim=True).log()


def wrong_for_some_odd_widths(logits):
    logp = torch.log_softmax(logits, 1)
    return logp * 1.001 if 513 <= logits.shape[1] <= 1023 and logits.shape[1] % 2 and len(logits) > 1 else logp


def maximum_of_the_first_tile(logits):
    top = logits[:, :1024].amax(1, keepdim=True).detach()
    return logits - top - (logits - top).exp().sum(1, keepdim=True).log()


def forgets_rows_beyond_the_grid(logits, target, *, reduction="mean"):
    losses = torch_loss(logits, target, reduction="none")
    losses = torch.where(torch.arange(len(losses)) < 65535, losses, 0 * losses.detach())
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@pytest.mark.parametrize("step", [drops_the_tail_of_wide_rows, pads_the_maximum_with_zero, wrong_for_some_odd_widths])
def test_a_fault_of_some_widths_is_found(step):
    assert "classes" in reasons(judge(composed(log_probabilities=step), "sizes", keep=swept))[0]


def test_targets_cast_to_the_dtype_of_the_logits_are_found():
    wrong = composed(index=lambda target: target.to(torch.bfloat16).long())
    assert "targets" in reasons(judge(wrong, "sizes", keep=far))[0]
    wrong = composed(index=lambda target: target.to(torch.int16).long() % 65536)
    assert "of 65600" in reasons(judge(wrong, "sizes", keep=far))[0]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_maximum_outside_the_first_tile_is_found(dtype):
    wrong = composed(log_probabilities=maximum_of_the_first_tile)
    assert "far apart" in reasons(judge(wrong, "sizes", keep=far, dtype=dtype))[0]


def test_rows_beyond_a_grid_are_found():
    assert "65537 rows" in reasons(judge(forgets_rows_beyond_the_grid, "sizes", keep=rows))[0]


def beyond(rows, **forgotten):
    """torch's own, which forgets options from so many rows on."""

    def loss(logits, target, *, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
        options = {"weight": weight, "ignore_index": ignore_index, "label_smoothing": label_smoothing}
        options |= forgotten if len(logits) > rows else {}
        return torch_loss(logits, target, reduction=reduction, **options)

    return loss


def weighted(logits, target, *, weight=None, reduction="mean"):
    return beyond(4000, weight=None)(logits, target, weight=weight, reduction=reduction)


def smoothed(logits, target, *, label_smoothing=0.0, reduction="mean"):
    return beyond(4000, label_smoothing=0.0)(logits, target, label_smoothing=label_smoothing, reduction=reduction)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (beyond(4000, weight=None), "all options"),
        (beyond(4000, label_smoothing=0.0), "all options"),
        (weighted, "weighted"),
        (smoothed, "smoothed"),
    ],
)
def test_an_option_forgotten_on_the_path_of_many_rows_is_found(wrong, told):
    assert f"4097 rows of 5, mean, {told}" in reasons(judge(wrong, "sizes", keep=rows))[0]


def test_logits_written_into_at_some_width_are_found():
    def overwrites(logits, target, *, reduction="mean"):
        loss = torch_loss(logits, target, reduction=reduction)
        if logits.shape[1] == 129:
            logits.data.mul_(0.5)
        return loss

    assert "changed the caller's logits" in reasons(judge(overwrites, "sizes", keep=swept))[0]


def test_torch_passes():
    assert {v.status for _, v in judge(torch_loss, "sizes", dtype="float64")} == {Status.PASSED}


def test_the_sweep_names_every_number_once_and_all_of_them_twice_when_thorough():
    quick, everything = class_counts(1100, everything=False), class_counts(1100, everything=True)
    assert set(range(1, 1101)) <= set(quick)
    assert len(quick) == len(set(quick))
    assert sorted(everything) == sorted(2 * quick)
    # whatever is cut off for want of time, the beginning is spread over the whole range
    gaps = sorted(quick[:250])
    assert max(b - a for a, b in pairwise(gaps) if b <= 1100) < 40
