"""Mutants of the losses beside cross-entropy that are right in value and wrong in gradient. Drop-ins as written."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.mutants._entries import reduced, with_gradient
from harness.mutants.declare import mutant


@mutant("the gradient lacks the row's sum of gradient times probability", loss="softmax", caught_by="gradient")
def softmax_gradient_without_its_sum(input: Tensor, *, dim: int = 1):
    y = torch.softmax(input.detach(), dim)
    return with_gradient(y, (input, lambda above: above * y))


@mutant(
    "the gradient has each entry's own upstream gradient where the row's sum belongs", loss="log_softmax",
    caught_by="gradient",
)  # fmt: skip
def log_softmax_gradient_of_its_own_upstream(input: Tensor, *, dim: int = 1):
    y = torch.log_softmax(input.detach(), dim)
    return with_gradient(y, (input, lambda above: above - y.exp() * above))


@mutant("the derivative is that of a result kept in bfloat16", loss="sigmoid", caught_by="gradient")
def sigmoid_kept_in_bfloat16(input: Tensor):
    y = torch.sigmoid(input.detach())
    kept = y.bfloat16().to(y.dtype)
    return with_gradient(y, (input, lambda above: above * kept * (1 - kept)))


@mutant("ignored rows are read as rows of class 0, and the gradient stays there", loss="nll_loss", caught_by="gradient")
def nll_gradient_in_ignored_rows(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    right = F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    left = input[:, 0].masked_fill(target != ignore_index, 0.0).sum()
    return right + (left - left.detach())


@mutant("every row is scaled by the first row's upstream gradient", loss="nll_loss", caught_by="grad_output")
def nll_upstream_of_the_first_row(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    found = F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    if reduction != "none" or not found.requires_grad:
        return found
    (ones,) = torch.autograd.grad(found.sum(), input, retain_graph=True)
    return with_gradient(found, (input, lambda above: ones * above.reshape(-1)[0]))


@mutant("the target gets no gradient", loss="binary_cross_entropy", caught_by="grad_output")
def bce_target_without_gradient(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
):
    return F.binary_cross_entropy(input, target.detach(), weight, reduction=reduction)


@mutant("the denominator of the derivative has no floor", loss="binary_cross_entropy", caught_by="stability")
def bce_gradient_without_a_floor(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"
):
    right = F.binary_cross_entropy(input, target, weight, reduction=reduction)
    if weight is not None or not input.requires_grad:
        return right
    p, t = input.detach().float(), target.detach().float()
    share = input.numel() if reduction == "mean" else 1
    slope = (p - t) / (p * (1 - p)) / share
    return with_gradient(right, (input, lambda above: (above * slope).to(input.dtype)))


@mutant(
    "entries whose label is 0 get no gradient", loss="binary_cross_entropy_with_logits", caught_by="gradient",
)  # fmt: skip
def bce_logits_gradient_of_labels_alone(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    x = torch.where(target == 0, input.detach(), input)
    return F.binary_cross_entropy_with_logits(x, target, weight, reduction=reduction, pos_weight=pos_weight)


@mutant(
    "pos_weight is left out of the gradient", loss="binary_cross_entropy_with_logits", caught_by="options",
)  # fmt: skip
def pos_weight_missing_in_gradient(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    right, bare = (
        F.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction, pos_weight=each)
        for each in (pos_weight, None)
    )
    return right if pos_weight is None else bare + (right - bare).detach()


@mutant("the target gets no gradient", loss="kl_div", caught_by="grad_output")
def kl_div_target_without_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    return F.kl_div(input, target.detach(), reduction=reduction, log_target=log_target)


@mutant("the gradient of log_target is that of plain probabilities", loss="kl_div", caught_by="options")
def log_target_ignored_in_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    if not log_target:
        return F.kl_div(input, target, reduction=reduction)
    right = F.kl_div(input.detach(), target, reduction=reduction, log_target=True)
    bent = reduced(-target.detach() * input, reduction, input.dtype)
    return right + (bent - bent.detach())


@mutant("the gradient lacks its factor of 2", loss="mse_loss", caught_by="gradient")
def mse_gradient_without_its_two(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    right = F.mse_loss(input, target, reduction=reduction)
    return 0.5 * right + (0.5 * right).detach()


@mutant("the target gets no gradient, as if it were a constant always", loss="mse_loss", caught_by="grad_output")
def mse_target_without_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    return F.mse_loss(input, target.detach(), reduction=reduction)
