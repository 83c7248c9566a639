"""Mutants of the losses beside cross-entropy that the answer to another question gives away. Drop-ins as written.

Several keep their answers under a checksum, as a cache does that hashes too little: what the checksum does not notice,
an order, a sign, a shift, a whole argument, gets the answer to another question.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.mutants._entries import nll_reduced, reduced, scaled, whole_tiles, wide, with_gradient
from harness.mutants.declare import mutant

_ANSWERS: dict[Any, Tensor] = {}
#: Rows of a tile: what is left over is dropped.
ROWS = 4


@mutant("answers are kept by the sum of squares of the input", loss="softmax", caught_by="relations")
def softmax_kept_by_a_checksum(input: Tensor, *, dim: int = 1):
    return _stale(torch.softmax(input, dim), "softmax", dim, _squares(input))


@mutant("answers are kept by the sum of squares of the input", loss="log_softmax", caught_by="relations")
def log_softmax_kept_by_a_checksum(input: Tensor, *, dim: int = 1):
    return _stale(torch.log_softmax(input, dim), "log_softmax", dim, _squares(input))


@mutant("answers are kept by the spread of the input, which no shift changes", loss="sigmoid", caught_by="relations")
def sigmoid_kept_by_its_spread(input: Tensor):
    return _stale(torch.sigmoid(input), "sigmoid", _spread(input))


@mutant("answers are kept by the targets and the input relative to its largest entry", loss="nll_loss",
        caught_by="relations")  # fmt: skip
def nll_kept_by_its_shape(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    found = F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    if weight is not None or ignore_index != -100 or target.numel() == 0:
        return found
    relative = _squares(input) / (float(input.detach().abs().max()) ** 2 or 1.0)
    return _stale(found, "nll", reduction, relative, _squares(target), input.dtype)


@mutant("1000 is added to all classes but the target, and the minimum taken", loss="nll_loss", caught_by="relations")
def nll_by_a_minimum(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    x = wide(input)
    place = torch.arange(x.shape[1]).view(1, -1, *(1 for _ in x.shape[2:]))
    losses = -torch.where(place == target.unsqueeze(1), x, x + 1000.0).amin(1)
    return nll_reduced(losses, target, weight=weight, ignore_index=ignore_index, reduction=reduction, dtype=input.dtype)


@mutant("derivatives are kept by the spread of both tensors, which no sign or swap changes", loss="mse_loss",
        caught_by="relations")  # fmt: skip
def mse_gradient_kept_by_its_spread(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    found = F.mse_loss(input, target, reduction=reduction)
    return _stale_slopes(found, (input, target), "mse", reduction, _spread(input) + _spread(target))


@mutant("answers are kept by the target alone", loss="kl_div", caught_by="relations")
def kl_div_kept_by_its_target(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    found = F.kl_div(input, target, reduction=reduction, log_target=log_target)
    return found if log_target else _stale(found, "kl_div", reduction, round(_squares(target), 6), input.dtype)


@mutant("derivatives are kept by how far probabilities and labels are from 1/2", loss="binary_cross_entropy",
        caught_by="relations")  # fmt: skip
def bce_gradient_kept_by_a_checksum(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
):
    found = F.binary_cross_entropy(input, target, weight, reduction=reduction)
    if weight is not None:
        return found
    far = _squares(input.double() - 0.5) + _squares(target.double() - 0.5)
    return _stale_slopes(found, (input, target), "bce", reduction, far)


@mutant(
    "answers are kept by the squares of the logits and how far labels are from 1/2",
    loss="binary_cross_entropy_with_logits", caught_by="relations",
)  # fmt: skip
def bce_logits_kept_by_a_checksum(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    found = F.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction, pos_weight=pos_weight)
    if weight is not None or pos_weight is not None:
        return found
    return _stale(found, "bce_logits", reduction, _squares(input) + _squares(target.double() - 0.5))


@mutant("logits above 8 are taken for 8, and no maximum is taken away", loss="softmax", caught_by="relations")
def softmax_of_logits_up_to_8(input: Tensor, *, dim: int = 1):
    exponentials = wide(input).clamp(max=8.0).exp()
    return (exponentials / exponentials.sum(dim, keepdim=True)).to(input.dtype)


@mutant("the maximum begins at 0: rows far below it vanish", loss="softmax", caught_by="relations",
        source="verl-project/verl#7439")  # fmt: skip
def softmax_from_a_maximum_of_zero(input: Tensor, *, dim: int = 1):
    x = wide(input)
    exponentials = (x - x.detach().amax(dim, keepdim=True).clamp(min=0.0)).exp()
    return (exponentials / exponentials.sum(dim, keepdim=True)).to(input.dtype)


@mutant("exponentials above that of 8 are taken for it, and no maximum is taken away", loss="log_softmax",
        caught_by="relations")  # fmt: skip
def log_softmax_of_logits_up_to_8(input: Tensor, *, dim: int = 1):
    x = wide(input)
    return (x - x.clamp(max=8.0).exp().sum(dim, keepdim=True).log()).to(input.dtype)


@mutant("log-probabilities are kept above -30", loss="log_softmax", caught_by="relations")
def log_softmax_kept_above(input: Tensor, *, dim: int = 1):
    return torch.log_softmax(input, dim).clamp(min=-30.0)


@mutant("a batch of zeros is taken for padding and answered with zeros", loss="sigmoid", caught_by="relations")
def sigmoid_of_zeros_is_padding(input: Tensor):
    return torch.sigmoid(input) * (input != 0).any()


@mutant("log-probabilities are kept above -100", loss="nll_loss", caught_by="relations")
def nll_kept_below(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    kept = input.clamp(min=-100.0)
    return F.nll_loss(kept, target, weight, ignore_index=ignore_index, reduction=reduction)


@mutant("a loss is never negative", loss="nll_loss", caught_by="relations")
def nll_never_negative(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    kept = input.clamp(max=0.0)
    return F.nll_loss(kept, target, weight, ignore_index=ignore_index, reduction=reduction)


@mutant("sum and mean leave out the rows beyond whole tiles of 4", loss="nll_loss", caught_by="relations")
def nll_rows_beyond_a_tile(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    losses = F.nll_loss(wide(input), target, ignore_index=ignore_index, reduction="none")
    if reduction != "none":
        rows = len(losses) // ROWS * ROWS or len(losses)
        losses, target = losses[:rows], target[:rows]
    return nll_reduced(losses, target, weight=weight, ignore_index=ignore_index, reduction=reduction, dtype=input.dtype)


@mutant("the weight is divided by its sum, which a mean does not notice", loss="nll_loss", caught_by="relations")
def nll_weight_normalised(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    own = None if weight is None else weight / weight.sum()
    return F.nll_loss(input, target, own, ignore_index=ignore_index, reduction=reduction)


@mutant("differences are divided by the largest of them, which is 0 when all agree", loss="mse_loss",
        caught_by="relations")  # fmt: skip
def mse_by_the_largest(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    difference = wide(input) - wide(target)
    unit = torch.exp2(difference.detach().abs().max().log2().ceil())
    return reduced((difference / unit) ** 2 * unit * unit, reduction, input.dtype)


@mutant("both tensors are kept within 1000", loss="mse_loss", caught_by="relations")
def mse_within_1000(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    return F.mse_loss(input.clamp(-1000.0, 1000.0), target.clamp(-1000.0, 1000.0), reduction=reduction)


@mutant("a batch without an entry above 1/4 is taken for padding", loss="mse_loss", caught_by="relations")
def mse_of_small_is_padding(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    found = F.mse_loss(input, target, reduction=reduction)
    return found * (torch.maximum(input.abs(), target.abs()) > 0.25).any()


@mutant("losses are kept below 100", loss="mse_loss", caught_by="relations")
def mse_kept_below(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    return reduced((wide(input) - wide(target)).square().clamp(max=100.0), reduction, input.dtype)


@mutant("sum and mean leave out the entries beyond whole tiles of 32", loss="mse_loss", caught_by="relations")
def mse_entries_beyond_a_tile(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    return whole_tiles((wide(input) - wide(target)).square(), reduction, input.dtype)


@mutant("the target is divided by its sum", loss="kl_div", caught_by="relations")
def kl_div_of_a_normalised_target(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    own = target.double().exp() if log_target else target.double()
    own = own / own.sum(1, keepdim=True)
    return reduced(torch.xlogy(own, own) - own * input.double(), reduction, input.dtype)


@mutant("sum and mean leave out the entries beyond whole tiles of 32", loss="kl_div", caught_by="relations")
def kl_div_entries_beyond_a_tile(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    losses = F.kl_div(wide(input), wide(target), reduction="none", log_target=log_target)
    return whole_tiles(losses, reduction, input.dtype)


@mutant("the weight is divided by its mean", loss="binary_cross_entropy", caught_by="relations")
def bce_weight_normalised(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"):
    own = None if weight is None else weight / weight.mean()
    return F.binary_cross_entropy(input, target, own, reduction=reduction)


@mutant("sum and mean leave out the entries beyond whole tiles of 32", loss="binary_cross_entropy",
        caught_by="relations")  # fmt: skip
def bce_entries_beyond_a_tile(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"):
    losses = F.binary_cross_entropy(wide(input), wide(target), reduction="none")
    return whole_tiles(scaled(losses, weight), reduction, input.dtype)


@mutant("logits are kept within 20", loss="binary_cross_entropy_with_logits", caught_by="relations")
def bce_logits_kept_within(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    kept = input.clamp(-20.0, 20.0)
    return F.binary_cross_entropy_with_logits(kept, target, weight, reduction=reduction, pos_weight=pos_weight)


@mutant(
    "the positive part weighs one more than pos_weight", loss="binary_cross_entropy_with_logits",
    caught_by=("options", "relations"),
)  # fmt: skip
def pos_weight_one_too_many(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    more = None if pos_weight is None else pos_weight + 1
    return F.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction, pos_weight=more)


@mutant(
    "the weight is divided by its mean", loss="binary_cross_entropy_with_logits", caught_by="relations",
)  # fmt: skip
def bce_logits_weight_normalised(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    own = None if weight is None else weight / weight.mean()
    return F.binary_cross_entropy_with_logits(input, target, own, reduction=reduction, pos_weight=pos_weight)


@mutant(
    "sum and mean leave out the entries beyond whole tiles of 32", loss="binary_cross_entropy_with_logits",
    caught_by="relations",
)  # fmt: skip
def bce_logits_entries_beyond_a_tile(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    more = None if pos_weight is None else wide(pos_weight)
    losses = F.binary_cross_entropy_with_logits(wide(input), wide(target), reduction="none", pos_weight=more)
    return whole_tiles(scaled(losses, weight), reduction, input.dtype)


def _stale(found: Tensor, *key: Any) -> Tensor:
    """The value first found under ``key``, with the right gradient."""
    kept = _ANSWERS.setdefault((*key, tuple(found.shape), found.dtype), found.detach().clone())
    return found + (kept - found).detach()


def _stale_slopes(found: Tensor, tensors: tuple[Tensor, ...], *key: Any) -> Tensor:
    """``found``, with the derivatives by ``tensors`` that were first found under ``key``."""
    wanted = [tensor for tensor in tensors if tensor.requires_grad]
    if not found.requires_grad:
        return found
    slopes = torch.autograd.grad(found.sum(), wanted)
    parts = []
    for place, (tensor, slope) in enumerate(zip(wanted, slopes, strict=True)):
        kept = _ANSWERS.setdefault((*key, place, len(wanted), tuple(slope.shape), slope.dtype), slope.clone())
        parts.append((tensor, partial(torch.mul, kept)))
    return with_gradient(found, *parts)


def _squares(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().sum())


def _spread(tensor: Tensor) -> float:
    """n Σ x² - (Σ x)², which is exact for round numbers."""
    values = tensor.detach().double()
    return values.numel() * _squares(values) - float(values.sum()) ** 2
