"""``targets`` finds invalid targets that are taken for valid ones, and what they leave behind."""

import pytest
import torch

from harness.core.status import Status
from tests.checks.composed import torch_loss
from tests.checks.judging import judge


def clamps(logits, target, *, reduction="mean"):
    return torch_loss(logits, target.clamp(0, logits.shape[1] - 1), reduction=reduction)


def keeps_32_bits(logits, target, *, reduction="mean"):
    return torch_loss(logits, target.to(torch.int32).long(), reduction=reduction)


def ignores_the_default_sentinel_always(logits, target, *, ignore_index=-100, reduction="mean"):
    target = torch.where(target == -100, ignore_index, target)
    return torch_loss(logits, target, ignore_index=ignore_index, reduction=reduction)


def gives_nan(logits, target, *, reduction="mean"):
    bad = (target < 0) | (target >= logits.shape[1])
    loss = torch_loss(logits, target.clamp(0, logits.shape[1] - 1), reduction=reduction)
    return loss * float("nan") if bad.any() else loss


class RemembersTheBadCall:
    """Raises as it should, and is off from then on."""

    __name__ = "remembers"

    def __init__(self):
        self.scale = 1.0

    def __call__(self, logits, target, *, reduction="mean"):
        if (target >= logits.shape[1]).any():
            self.scale = 1 + 2**-23
        return torch_loss(logits, target, reduction=reduction) * self.scale


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        (clamps, "C"),
        (clamps, "-1"),
        (keeps_32_bits, "huge"),
        (gives_nan, "C"),
        (ignores_the_default_sentinel_always, "-100"),
    ],
)
def test_an_accepted_invalid_target_is_found(wrong, kind):
    found = judge(wrong, "targets", keep=lambda case: dict(case.options)["invalid"] == kind)
    status = {v.variant: v.status for _, v in found}
    assert status == {"": Status.FAILED, "after": Status.PASSED}
    assert "is accepted, torch raises" in found[0][1].reason


def test_a_trace_of_an_invalid_call_is_found():
    found = judge(RemembersTheBadCall(), "targets", keep=lambda case: dict(case.options)["invalid"] == "C")
    assert {v.variant: v.status for _, v in found} == {"": Status.PASSED, "after": Status.FAILED}


def test_one_that_never_repeats_itself_is_not_held_to_the_bits_before():
    calls = []

    def alternates(logits, target, *, reduction="mean"):
        calls.append(1)
        losses = torch_loss(logits, target, reduction="none")
        return (
            losses * (1 + 2**-23 * (len(calls) % 2))
            if reduction == "none"
            else torch_loss(logits, target, reduction=reduction)
        )

    found = judge(alternates, "targets", keep=lambda case: dict(case.options)["invalid"] == "C")
    assert {v.status for _, v in found} == {Status.PASSED}


def test_torch_passes():
    assert {v.status for _, v in judge(torch_loss, "targets")} == {Status.PASSED}
