"""Relations of the losses beside cross-entropy: torch obeys them all, and each has a loss that breaks it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.core.status import Status
from harness.losses.catalogue import families
from tests.checks.judging import faults, judge

BCE, LOGITS = "binary_cross_entropy", "binary_cross_entropy_with_logits"
LOSSES = ("softmax", "log_softmax", "sigmoid", "nll_loss", "mse_loss", "kl_div", BCE, LOGITS)


def reduced(losses, reduction):
    return {"none": lambda x: x, "mean": torch.mean, "sum": torch.sum}[reduction](losses)


def softmax_from_a_maximum_of_at_least_zero(input, *, dim=1):
    e = (input - input.amax(dim, keepdim=True).clamp(min=0)).exp()
    return e / e.sum(dim, keepdim=True)


def softmax_of_one_maximum(input, *, dim=1):
    e = (input - input.max()).exp()
    return e / e.sum(dim, keepdim=True)


def softmax_with_an_epsilon(input, *, dim=1):
    e = (input - input.amax(dim, keepdim=True)).exp()
    return e / (e.sum(dim, keepdim=True) + 1e-4)


def log_softmax_without_a_maximum(input, *, dim=1):
    return input - input.exp().sum(dim, keepdim=True).log()


def log_softmax_kept_above(input, *, dim=1):
    return torch.log_softmax(input, dim).clamp(min=-30)


def sigmoid_saturated(input):
    return torch.sigmoid(input.clamp(-20, 20))


def sigmoid_through_tanh(input):
    return torch.tanh(input / 2) / 2 + 0.5


def nll_kept_below(input, target, *, reduction="mean"):
    return F.nll_loss(input.clamp(min=-100), target, reduction=reduction)


def nll_never_negative(input, target, *, reduction="mean"):
    return reduced(F.nll_loss(input, target, reduction="none").clamp(min=0), reduction)


def nll_mean_over_all(input, target, *, ignore_index=-100, reduction="mean"):
    losses = F.nll_loss(input, target, ignore_index=ignore_index, reduction="none")
    return reduced(losses, reduction)


def squares_kept_below(input, target, *, reduction="mean"):
    return reduced(((input - target) ** 2).clamp(max=100), reduction)


def squares_of_clipped(input, target, *, reduction="mean"):
    return reduced((input.clamp(-100, 100) - target.clamp(-100, 100)) ** 2, reduction)


def divergence_from_a_floor(input, target, *, reduction="mean", log_target=False):
    return F.kl_div(input.clamp(min=-12), target, reduction=reduction, log_target=log_target)


def divergence_of_half_a_logarithm(input, target, *, reduction="mean", log_target=False):
    # two targets of the same kind: right only while nobody passes logarithms
    losses = target.exp() * (target / 2 - input) if log_target else torch.xlogy(target, target) - target * input
    return losses.sum() / len(input) if reduction == "batchmean" else reduced(losses, reduction)


def divergence_normalised(input, target, *, reduction="mean", log_target=False):
    own = target.exp() if log_target else target
    own = own / own.sum(1, keepdim=True)
    losses = torch.xlogy(own, own) - own * input
    return losses.sum() / len(input) if reduction == "batchmean" else reduced(losses, reduction)


def bce_without_a_clamp(input, target, *, reduction="mean"):
    return reduced(-(torch.xlogy(target, input) + torch.special.xlog1py(1 - target, -input)), reduction)


def bce_of_an_epsilon(input, target, *, reduction="mean"):
    logs = (input + 1e-30).log(), torch.log1p(-input).clamp(min=-100)
    return reduced(-(target * logs[0] + (1 - target) * logs[1]), reduction)


def logits_kept_within(input, target, *, weight=None, reduction="mean"):
    return F.binary_cross_entropy_with_logits(input.clamp(-20, 20), target, weight=weight, reduction=reduction)


def bce_of_a_sigmoid(input, target, *, weight=None, reduction="mean"):
    return F.binary_cross_entropy(torch.sigmoid(input), target, weight=weight, reduction=reduction)


def pos_weight_on_the_whole(input, target, *, reduction="mean", pos_weight=None):
    losses = F.binary_cross_entropy_with_logits(input, target, reduction="none")
    return reduced(losses if pos_weight is None else losses * (1 + pos_weight) / 2 + 1e-3, reduction)


WRONG = {
    softmax_from_a_maximum_of_at_least_zero: ("softmax", "shifted_down"),
    softmax_of_one_maximum: ("softmax", "one_line"),
    softmax_with_an_epsilon: ("softmax", ""),
    log_softmax_without_a_maximum: ("log_softmax", "shifted_up"),
    log_softmax_kept_above: ("log_softmax", "at_most_one"),
    sigmoid_saturated: ("sigmoid", "lowered_far"),
    sigmoid_through_tanh: ("sigmoid", "start"),
    nll_kept_below: ("nll_loss", "scaled_far"),
    nll_never_negative: ("nll_loss", "negated"),
    nll_mean_over_all: ("nll_loss", "ignored_mean"),
    squares_kept_below: ("mse_loss", "scaled"),
    squares_of_clipped: ("mse_loss", "shifted"),
    divergence_from_a_floor: ("kl_div", "lowered"),
    divergence_of_half_a_logarithm: ("kl_div", "log_target"),
    divergence_normalised: ("kl_div", "halved"),
    bce_without_a_clamp: (BCE, "sure_and_wrong"),
    bce_of_an_epsilon: (BCE, "sure_and_wrong"),
    bce_of_a_sigmoid: (LOGITS, "start"),
    logits_kept_within: (LOGITS, "at_least_linear"),
    pos_weight_on_the_whole: (LOGITS, "pos_weight_ones"),
}


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.__name__)
def test_a_loss_that_breaks_a_relation_is_caught(wrong):
    loss, variant = WRONG[wrong]
    assert variant in faults(judge(wrong, "relations", loss=loss))


TORCH = {
    "softmax": lambda input, *, dim=1: F.softmax(input, dim),
    "log_softmax": lambda input, *, dim=1: F.log_softmax(input, dim),
    "sigmoid": torch.special.expit,
    "nll_loss": F.nll_loss,
    "mse_loss": F.mse_loss,
    "kl_div": F.kl_div,
    BCE: F.binary_cross_entropy,
    LOGITS: F.binary_cross_entropy_with_logits,
}


# torch says of its own default for kl_div that it is no divergence
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_torch_obeys_every_relation(loss, dtype):
    found = judge(TORCH[loss], "relations", dtype=dtype, loss=loss)
    # bce's own floor of 1e-12 is 0 in float16, which is declared of it
    excused = {"sure_and_right", "sure_and_wrong"} if (loss, dtype) == (BCE, "float16") else set()
    assert set(faults(found)) <= excused
    assert Status.PASSED in {verdict.status for _, verdict in found}
    assert {case.loss for case, _ in found} == {loss}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_family_has_relations_of_its_own(loss):
    family = families()[loss]
    assert "relations" in family.checks
    assert list(family.cells("relations", Case(loss=loss, batch=2, classes=3), False))


def test_no_relation_compares_nothing():
    found = judge(TORCH["log_softmax"], "relations", loss="log_softmax")
    ratios = {verdict.variant: verdict.ratio for case, verdict in found if not case.options}
    assert 0.0 < (ratios["sums_to_one"] or 0.0) <= 1.0
