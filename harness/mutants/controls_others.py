"""Right but unusual implementations of functions of one tensor, and of losses of two. Drop-ins as written."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._entries import reduced, wide
from harness.mutants.declare import control


@control("the mean squared error in float64, rounded once", loss="mse_loss")
def mse_in_float64(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    return reduced((input.double() - target.double()) ** 2, reduction, input.dtype)


@control("the square of half the difference, times four: powers of two round nothing", loss="mse_loss")
def mse_of_halves(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    half = wide(input) * 0.5 - wide(target) * 0.5
    return reduced(half * half * 4.0, reduction, input.dtype)


@control("softmax as exp of log-softmax", loss="softmax", dtypes=("float32", "float64"))
def softmax_by_its_log(input: Tensor, *, dim: int = 1):
    return torch.log_softmax(input, dim).exp()


@control("softmax by a running maximum and sum over tiles of 4", loss="softmax")
def softmax_by_tiles(input: Tensor, *, dim: int = 1):
    x = wide(input)
    first = x.detach().narrow(dim, 0, 1)
    top, total = torch.full_like(first, -torch.inf), torch.zeros_like(first)
    for tile in x.split(4, dim):
        most = torch.maximum(top, tile.detach().amax(dim, keepdim=True))
        total = total * _decay(top, most) + torch.exp(tile - _finite(most)).sum(dim, keepdim=True)
        top = most
    return (torch.exp(x - top) / total).to(input.dtype)


@control("log-softmax as a difference from the log-sum-exp", loss="log_softmax", dtypes=("float32", "float64"))
def log_softmax_by_lse(input: Tensor, *, dim: int = 1):
    top = input.amax(dim, keepdim=True).detach()
    shifted = input - top
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


@control("log-softmax by log1p of the sum of all but the largest exponential", loss="log_softmax")
def log_softmax_by_log1p(input: Tensor, *, dim: int = 1):
    x = wide(input)
    place = x.argmax(dim, keepdim=True)
    shifted = x - x.gather(dim, place).detach()
    others = shifted.exp().scatter(dim, place, 0.0).sum(dim, keepdim=True)
    # the largest term is exactly 1 and its gradient passes through the difference alone
    total = others + (shifted.gather(dim, place).exp() - 1.0)
    return (shifted - torch.log1p(total)).to(input.dtype)


@control("sigmoid in two branches, each of an exponential that cannot overflow", loss="sigmoid")
def sigmoid_in_branches(input: Tensor):
    # masks keep NaN in its branch, and 0 in one of them alone
    x = wide(input)
    rising = 1.0 / (1.0 + torch.exp(-x.masked_fill(x < 0, 0.0)))
    small = torch.exp(x.masked_fill(x > 0, 0.0))
    return torch.where(x > 0, rising, small / (1.0 + small)).to(input.dtype)


@control("sigmoid by tanh, times exp(x) where x is negative: a small result is no difference", loss="sigmoid")
def sigmoid_by_tanh(input: Tensor):
    x = wide(input)
    above, below = x.masked_fill(x < 0, 0.0), x.masked_fill(x > 0, 0.0)
    rising = 0.5 + 0.5 * torch.tanh(0.5 * above)
    falling = torch.exp(below) * (0.5 + 0.5 * torch.tanh(-0.5 * below))
    return torch.where(x > 0, rising, falling).to(input.dtype)


@control("sigmoid in float64, as exp of minus log(1 + exp(-x))", loss="sigmoid")
def sigmoid_by_its_log(input: Tensor):
    x = input.double()
    return torch.exp(-torch.logaddexp(torch.zeros_like(x), -x)).to(input.dtype)


@control("t log t from torch's entropy, and 0 wherever t is 0", loss="kl_div")
def kl_div_by_entropy(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    x, t = wide(input), wide(target)
    if log_target:
        mass = t.exp()
        return reduced(mass * t - mass * x, reduction, input.dtype)
    none = t == 0
    losses = -torch.special.entr(t) - t * torch.where(none, 0.0, x)
    return reduced(torch.where(none, 0.0, losses), reduction, input.dtype)


@control("row by row in float64, from the logarithm of the ratio of both distributions", loss="kl_div")
def kl_div_by_rows(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    losses = [_divergence(x, t, log_target) for x, t in zip(input.double(), target.double(), strict=True)]
    return reduced(torch.stack(losses), reduction, input.dtype)


def _divergence(x: Tensor, t: Tensor, log_target: bool) -> Tensor:
    none = torch.zeros_like(t, dtype=torch.bool) if log_target else t == 0
    mass = t.exp() if log_target else t
    gap = (t if log_target else torch.where(none, 1.0, t).log()) - torch.where(none, 0.0, x)
    return torch.where(none, 0.0, mass * gap)


def _finite(top: Tensor) -> Tensor:
    """``top`` with 0 in place of -inf, which no entry of a tile so far exceeds."""
    return torch.where(top == -torch.inf, 0.0, top)


def _decay(before: Tensor, after: Tensor) -> Tensor:
    """What a sum relative to ``before`` is multiplied by to be relative to ``after``; 1 where nothing was raised."""
    return torch.where(before == after, 1.0, torch.exp(before - after))
