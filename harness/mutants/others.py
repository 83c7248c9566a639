"""Mutants of the losses beside cross-entropy: denominators, dimensions, clamps and weights. Drop-ins as written."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.mutants._entries import reduced, scaled, wide
from harness.mutants.declare import mutant


@mutant("batchmean divides by all entries", loss="kl_div", caught_by="options")
def batchmean_over_entries(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    rule = "mean" if reduction == "batchmean" else reduction
    return F.kl_div(input, target, reduction=rule, log_target=log_target)


@mutant(
    "log_target is taken and not used", loss="kl_div", caught_by="options",
)  # fmt: skip
def log_target_ignored(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    return F.kl_div(input, target, reduction=reduction)


@mutant(
    "the mean divides by the rows", loss="kl_div", caught_by="agreement",
    plain_wrong="what a reader of the formula expects of a mean: torch's divides by all entries",
)  # fmt: skip
def mean_is_batchmean(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    rule = "batchmean" if reduction == "mean" else reduction
    return F.kl_div(input, target, reduction=rule, log_target=log_target)


@mutant("a batch of equal sizes is summed along the wrong dimension", loss="softmax", caught_by="options")
def softmax_along_the_last(input: Tensor, *, dim: int = 1):
    return torch.softmax(input, -1 if dim not in (0, 1) else dim)


@mutant("dim is taken and not used", loss="log_softmax", caught_by="options")
def dim_ignored(input: Tensor, *, dim: int = 1):
    return torch.log_softmax(input, 1)


@mutant("the maximum of the whole batch is subtracted, not that of the row", loss="softmax", caught_by="stability")
def softmax_of_one_maximum(input: Tensor, *, dim: int = 1):
    exponentials = torch.exp(input - input.max())
    return exponentials / exponentials.sum(dim, keepdim=True)


@mutant("the log of a softmax, kept from 0 by an epsilon", loss="log_softmax", caught_by="agreement")
def log_with_an_epsilon(input: Tensor, *, dim: int = 1):
    return torch.log(torch.softmax(input, dim) + 1e-8)


@mutant("through tanh: the small probabilities lose their bits", loss="sigmoid", caught_by="agreement")
def sigmoid_through_tanh(input: Tensor):
    return 0.5 * (1 + torch.tanh(0.5 * input))


@mutant("clipped to plus and minus 15 before the exponential", loss="sigmoid", caught_by=("agreement", "gradient"))
def sigmoid_clipped(input: Tensor):
    return torch.sigmoid(input.clamp(-15, 15))


@mutant(
    "pos_weight multiplies both parts of the loss", loss="binary_cross_entropy_with_logits", caught_by="options",
)  # fmt: skip
def pos_weight_on_both(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    whole = weight if pos_weight is None else pos_weight if weight is None else weight * pos_weight
    return F.binary_cross_entropy_with_logits(input, target, weight=whole, reduction=reduction)


@mutant("the logistic function, then its logs", loss="binary_cross_entropy_with_logits", caught_by="stability")
def logs_of_a_sigmoid(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    p = torch.sigmoid(input)
    losses = -(target * p.log() + (1 - target) * (1 - p).log())
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@mutant("the logs are not clamped at -100", loss="binary_cross_entropy", caught_by="stability")
def log_without_a_clamp(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    losses = -(torch.xlogy(target, input) + torch.special.xlog1py(1 - target, -input))
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@mutant("the first row of the target is broadcast against all rows", loss="mse_loss", caught_by="agreement",
        plain_wrong="MSELoss of (10, 3) against (3,) is a number too, and the tutorial's own slip")  # fmt: skip
def target_broadcast(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    losses = (input - target[:1]) ** 2
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@mutant("the square written out, x² - 2 x t + t²: what is left of a small difference is noise", loss="mse_loss",
        caught_by="agreement")  # fmt: skip
def square_written_out(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    losses = input * input - 2 * input * target + target * target
    return losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()


@mutant("the mean of the rows' sums", loss="mse_loss", caught_by="agreement",
        plain_wrong="the mean that many write: over the rows, torch's is over all entries")  # fmt: skip
def mean_of_row_sums(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    losses = (input - target) ** 2
    if reduction == "mean":
        return losses.flatten(1).sum(1).mean()
    return losses if reduction == "none" else losses.sum()


@mutant("the mean divides by N although rows are ignored", loss="nll_loss", caught_by="agreement")
def nll_mean_over_all(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    if reduction != "mean" or weight is not None:
        return F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    return F.nll_loss(input, target, ignore_index=ignore_index, reduction="sum") / target.numel()


@mutant("a weighted mean divides by the number of rows", loss="nll_loss", caught_by="options")
def nll_weighted_mean_over_count(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    losses = F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction="none")
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / (target != ignore_index).sum()


@mutant("the sum over the batch is kept in the dtype of a half input", loss="nll_loss", caught_by="agreement",
        source="pytorch/pytorch#85791")  # fmt: skip
def nll_sum_in_half(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
):
    if reduction == "none" or weight is not None:
        return F.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)
    total = input.new_zeros(())
    for loss in F.nll_loss(input, target, ignore_index=ignore_index, reduction="none").reshape(-1):
        total = total + loss
    return total if reduction == "sum" else total / (target != ignore_index).sum()


@mutant("exp(x) / (1 + exp(x)), which is inf / inf above 88.7", loss="sigmoid", caught_by="stability")
def sigmoid_that_overflows(input: Tensor):
    exponential = wide(input).exp()
    return (exponential / (1.0 + exponential)).to(input.dtype)


@mutant("all dimensions but the batch's sum to one together", loss="softmax", caught_by="agreement")
def softmax_over_all_but_the_batch(input: Tensor, *, dim: int = 1):
    if dim not in (1, -1):
        return torch.softmax(input, dim)
    return torch.softmax(input.flatten(1), 1).reshape(input.shape)


@mutant("the maximum is held at -30 or more, lest it be that of padding", loss="log_softmax", caught_by="stability")
def log_softmax_of_a_held_maximum(input: Tensor, *, dim: int = 1):
    x = wide(input)
    shifted = x - x.detach().amax(dim, keepdim=True).clamp(min=-30.0)
    return (shifted - shifted.exp().sum(dim, keepdim=True).log()).to(input.dtype)


@mutant("0 · log 0 is NaN", loss="kl_div", caught_by="options")
def zero_probability_is_nan(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    x, t = wide(input), wide(target)
    losses = t.exp() * (t - x) if log_target else t * (t.log() - x)
    return reduced(losses, reduction, input.dtype)


@mutant("a weighted mean divides by the weights", loss="binary_cross_entropy", caught_by="options")
def bce_mean_over_weights(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"):
    found = F.binary_cross_entropy(input, target, weight, reduction=reduction)
    if weight is None or reduction != "mean":
        return found
    return (wide(found) / wide(weight).mean()).to(input.dtype)


@mutant("0 · log 0 is NaN for a certainty that is right", loss="binary_cross_entropy",
        caught_by=("stability", "relations"))  # fmt: skip
def bce_of_certainty_is_nan(input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean"):
    p, t = wide(input), wide(target)
    losses = -(t * p.log() + (1.0 - t) * torch.log1p(-p))
    return reduced(scaled(losses.clamp(max=100.0), weight), reduction, input.dtype)


@mutant(
    "pos_weight multiplies the part of the zeros", loss="binary_cross_entropy_with_logits", caught_by="options",
)  # fmt: skip
def pos_weight_on_the_zeros(
    input: Tensor, target: Tensor, *, weight: Tensor | None = None, reduction: str = "mean",
    pos_weight: Tensor | None = None,
):  # fmt: skip
    if pos_weight is None:
        return F.binary_cross_entropy_with_logits(input, target, weight, reduction=reduction)
    return F.binary_cross_entropy_with_logits(-input, 1 - target, weight, reduction=reduction, pos_weight=pos_weight)


@mutant("beyond 1024 rows a softmax over them runs over the classes", loss="softmax", caught_by="sizes")
def softmax_of_many_rows(input: Tensor, *, dim: int = 1):
    return torch.softmax(input, 1 if dim == 0 and input.shape[0] > 1024 else dim)


@mutant("with log_target the target has no gradient", loss="kl_div", caught_by="grad_output")
def log_target_without_gradient(input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False):
    return F.kl_div(input, target.detach() if log_target else target, reduction=reduction, log_target=log_target)


@mutant("a mean of more than 4096 entries is kept in bfloat16", loss="mse_loss", caught_by="sizes")
def mse_of_many_in_half(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    loss = F.mse_loss(input, target, reduction=reduction)
    return loss.bfloat16().to(loss.dtype) if reduction == "mean" and input.numel() > 4096 else loss
