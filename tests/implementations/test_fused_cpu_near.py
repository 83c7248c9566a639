"""bfloat16 rows near their target's logit, for which vectors of eight need no maximum, and rows that just are not."""

from __future__ import annotations

import pytest
import torch

from tests.implementations.fused_cpu_tools import answer, load, module

#: Whole vectors of 16 and rests of one to 15, within a block of 2,048, at its end and behind it.
CLASSES = [17, 300, 512, 513, 527, 1000, 2047, 2048, 2049, 2063, 2064, 4100]


@pytest.fixture(autouse=True)
def no_short_cut(monkeypatch):
    """Small problems too go the way of large ones."""
    monkeypatch.setitem(module("package"), "SMALL", 0)


def assert_rounded(found, expected):
    """Each number is the nearest bfloat16 to the true one, but for what float32 has lost before."""
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == torch.bfloat16
        ulp = torch.exp2(theirs.abs().clamp(min=2.0**-126).log2().floor() - 7)
        assert torch.equal(ours.isnan(), theirs.isnan())
        within = (ours.double() - theirs).abs() <= 0.502 * ulp
        assert (within | theirs.isnan() | (ours.double() == theirs)).all()


def rows_of(classes, rows, spread=3.0):
    generator = torch.Generator().manual_seed(classes)
    return (spread * torch.randn(rows, classes, generator=generator)).bfloat16()


def by_definition(logits, target, scale):
    """Losses log1p(o / e_t) and gradients, where torch's own float64 has no digits for a loss near 0."""
    x, at = logits.detach().double(), target.clamp(min=0)[:, None]
    top = x.amax(dim=1, keepdim=True)
    e = torch.exp(x - top)
    own, others = e.gather(1, at), e.scatter(1, at, 0.0).sum(dim=1, keepdim=True)
    far = torch.log(own + others) + top - x.gather(1, at)
    loss = torch.where(own > 1e-300, torch.log1p(others / own), far)[:, 0]
    gradient = (e / (own + others)).scatter(1, at, -others / (own + others)) * scale[:, None]
    counted = target >= 0
    return torch.where(counted, loss, 0.0), torch.where(counted[:, None], gradient, 0.0)


def judged(logits, target, upstream=None, weight=None):
    logits.requires_grad_()
    upstream = torch.ones(len(target), dtype=torch.bfloat16) if upstream is None else upstream
    found = answer(load()["fused_cpu"], logits, target, upstream, weight=weight, reduction="none")
    of_rows = torch.ones(len(target)) if weight is None else weight[target.clamp(min=0)].double()
    loss, gradient = by_definition(logits, target, upstream.double() * of_rows)
    assert_rounded(found, (loss * of_rows, gradient))


@pytest.mark.parametrize("classes", CLASSES)
def test_the_target_may_stand_anywhere(classes):
    places = sorted({0, 1, 7, 8, 15, classes // 2, *range(max(0, classes - 17), classes), min(2047, classes - 1)})
    judged(rows_of(classes, len(places)), torch.tensor(places))


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("lead", [4.0, 12.0, 30.0])
def test_a_likely_target_leaves_the_others_their_digits(classes, lead):
    logits, target = rows_of(classes, 5, spread=0.5), torch.tensor([0, 3, classes // 2, classes - 2, classes - 1])
    logits[torch.arange(5), target] = lead
    judged(logits, target)


@pytest.mark.parametrize("classes", [17, 600, 2063, 4100])
@pytest.mark.parametrize("away", [47.5, 48.0, 48.25, 49.0, 64.0, 88.0, 200.0, 1e30, float("inf"), float("nan")])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_logit_far_from_the_target(classes, away, sign):
    places = [0, 1, 14, 15, 16, classes // 2, classes - 17, classes - 2, classes - 1]
    logits, target = rows_of(classes, len(places)), torch.full((len(places),), 5)
    logits[torch.arange(len(places)), torch.tensor(places)] = sign * away
    logits[:, 5] = 0.0
    judged(logits, target)


@pytest.mark.parametrize("x_t", [47.75, -47.75, 48.0, -48.0, 100.0, float("inf"), float("-inf"), float("nan")])
@pytest.mark.parametrize("middle", [0.0, 40.0, -40.0, 90.0])
def test_a_target_far_from_0(x_t, middle):
    logits = rows_of(1000, 3) + middle
    logits[:, 6] = x_t
    judged(logits.bfloat16(), torch.full((3,), 6))


@pytest.mark.parametrize("upstream", [0.0, -3.0, 1e-10, -1e-20, 1e-37, 1e30, 3e38])
def test_whatever_the_upstream_gradient(upstream):
    judged(rows_of(1000, 3), torch.tensor([1, 500, 999]), torch.full((3,), upstream, dtype=torch.bfloat16))


def test_weights_and_ignored_rows_among_them():
    weight = torch.linspace(-1.0, 2.0, 600).bfloat16()
    weight[7] = 0.0
    judged(rows_of(600, 11), torch.tensor([0, 7, -100, 7, 599, 598, 100, -100, 101, 99, 200]), weight=weight)


@pytest.mark.parametrize("x_t", [-7.0, 0.0, 0.3, 7.0])
def test_every_bfloat16_there_is_within_reach(x_t):
    numbers = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.bfloat16)
    logits = torch.cat((torch.tensor([x_t]).bfloat16(), numbers[numbers.abs() < 41.0]))[None]
    judged(logits, torch.zeros(1, dtype=torch.int64))
