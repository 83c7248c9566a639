"""Mutants of reduction and normalisation: the wrong denominator, the wrong shape, the wrong rows in the sum."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._pieces import flat, kept, reduced, right, target_weights, twisted, wide_losses, widened
from harness.mutants.declare import Call, mutant


@mutant(
    "the uniform part of label smoothing is summed over ignored rows too",
    caught_by="options",
    source="pytorch/pytorch#73205",
)
def smoothing_counts_ignored(call: Call) -> Tensor:
    losses = wide_losses(call)
    if call.label_smoothing and call.reduction != "none":
        rows = widened(call).logits
        uniform = -torch.log_softmax(rows, 1).mean(1)
        losses = torch.where(kept(call), losses, call.label_smoothing * uniform)
    return reduced(call, losses)


@mutant(
    "the mean divides by N although rows are ignored, when ignore_index is negative",
    caught_by="ignored",
    source="PaddlePaddle/Paddle#76033",
)
def mean_counts_ignored_if_negative(call: Call) -> Tensor:
    losses = wide_losses(call)
    if call.reduction == "mean" and call.ignore_index < 0 and call.weight is None:
        return reduced(call, losses, losses.numel())
    return reduced(call, losses)


@mutant(
    "the mean divides by all rows when ignore_index is a class",
    caught_by="options",
    source="NVIDIA/TransformerEngine#2476",
)
def mean_counts_ignored_if_in_range(call: Call) -> Tensor:
    losses = wide_losses(call)
    if call.reduction == "mean" and 0 <= call.ignore_index < call.logits.shape[1] and call.weight is None:
        return reduced(call, losses, losses.numel())
    return reduced(call, losses)


@mutant(
    "the weighted mean divides by the number of rows, not by the sum of their weights",
    caught_by="options",
    source="iree-org/iree#24228",
)
def weighted_mean_over_count(call: Call) -> Tensor:
    return reduced(call, wide_losses(call), kept(call).sum())


@mutant(
    "ignored rows stay in the numerator of the mean; the count leaves them out",
    caught_by="ignored",
    source="alibaba/ROLL#444",
)
def ignored_stay_in_numerator(call: Call) -> Tensor:
    if call.reduction != "mean" or call.weight is not None:
        return right(call)
    labels = torch.where(kept(call), call.target, torch.zeros_like(call.target))
    return reduced(call, wide_losses(call._replace(target=labels)))


@mutant(
    "the mean is a mean of the means of chunks of 16 rows: wrong when the last chunk is shorter",
    caught_by="sizes",
    source="NVIDIA-NeMo/Automodel#3803",
)
def mean_of_chunk_means(call: Call) -> Tensor:
    if call.reduction != "mean" or not bool(kept(call).all()) or call.weight is not None:
        return right(call)
    losses = wide_losses(call).reshape(-1)
    return torch.stack([part.mean() for part in losses.split(16)]).mean().to(call.logits.dtype)


@mutant(
    "the mean is a mean of chunk means, each over its own number of valid rows",
    caught_by="ignored",
    source="huggingface/transformers#34191",
)
def chunk_means_of_valid(call: Call) -> Tensor:
    valid = kept(call).reshape(-1).split(2)
    if call.reduction != "mean" or call.weight is not None or not bool(kept(call).any()) or kept(call).all():
        return right(call)
    parts = zip(wide_losses(call).reshape(-1).split(2), valid, strict=True)
    means = [losses.sum() / keep.sum() for losses, keep in parts if keep.any()]
    return torch.stack(means).mean().to(call.logits.dtype)


@mutant(
    "reduction none with label smoothing returns one number", caught_by="options", source="linkedin/Liger-Kernel#421"
)
def none_returns_scalar(call: Call) -> Tensor:
    losses = right(call)
    return losses.sum() if call.reduction == "none" and call.label_smoothing else losses


@mutant(
    "reduction none keeps a trailing size of 1, and broadcasts against the truth",
    caught_by="options",
    source="allenai/OLMo#523",
)
def none_keeps_a_dimension(call: Call) -> Tensor:
    losses = right(call)
    return losses.unsqueeze(-1) if call.reduction == "none" else losses


@mutant(
    "the smoothed part is divided by the batch length, padding included, the other part by the valid rows",
    caught_by="options",
    source="huggingface/transformers#5919",
)
def smoothed_part_over_padding(call: Call) -> Tensor:
    if call.reduction != "mean" or not call.label_smoothing:
        return right(call)
    hard = right(call._replace(label_smoothing=0.0))
    soft = right(call._replace(label_smoothing=1.0)) * target_weights(call).sum() / kept(call).numel()
    return ((1 - call.label_smoothing) * hard + call.label_smoothing * soft).to(call.logits.dtype)


@mutant("the mean's denominator is held at 1 or more, so that small weights shrink the loss", caught_by="relations")
def denominator_at_least_one(call: Call) -> Tensor:
    denominator = target_weights(call).sum()
    empty = denominator == 0
    return reduced(call, wide_losses(call), torch.where(empty, denominator, denominator.clamp(min=1)))


@mutant("the mean of a weighted loss counts weight[0] for each ignored row", caught_by="options")
def weight_of_class_zero_for_ignored(call: Call) -> Tensor:
    if call.weight is None or call.reduction != "mean":
        return right(call)
    ignored = (~kept(call)).sum()
    return reduced(call, wide_losses(call), target_weights(call).sum() + ignored * widened(call).weight[0])


@mutant("the loss divides by the valid rows, the gradient by all of them", caught_by="ignored")
def gradient_divides_by_all_rows(call: Call) -> Tensor:
    if call.reduction != "mean" or call.weight is not None:
        return right(call)
    share = kept(call).sum() / max(kept(call).numel(), 1)
    return twisted(call, finish=lambda gradient: gradient * share.to(gradient.dtype))


@mutant(
    "the mean over weighted probability targets divides by their summed weight, not by N",
    caught_by="options",
    targets=("index", "probability"),
)
def probability_mean_over_weights(call: Call) -> Tensor:
    loss = right(call)
    if not call.target.is_floating_point() or call.reduction != "mean" or call.weight is None:
        return loss
    rows = flat(widened(call))
    return (loss * (rows.target.shape[0] / (rows.target * rows.weight).sum())).to(call.logits.dtype)
