"""Wrong ways to fuse the last layer with its loss: chunks, sums over chunks, and gradients left out."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.mutants._linear import CHUNK, chunks, in_chunks, linear, passed, widened
from harness.mutants._pieces import contiguous_misread
from harness.mutants.declare import LinearCall, mutant


@mutant(
    "the last chunk is left out where it is not full", loss="linear_cross_entropy", caught_by="agreement",
)  # fmt: skip
def chunk_remainder_dropped(call: LinearCall):
    def full(part: LinearCall):
        pieces = list(chunks(part))
        whole = [piece for piece in pieces if piece.hidden.shape[0] == CHUNK]
        return iter(whole or pieces)

    return linear(call) if call.reduction == "none" else in_chunks(call, full)


@mutant(
    "the means of several chunks are added up", loss="linear_cross_entropy", caught_by="agreement",
    source="NVIDIA-NeMo/Automodel#3803",
)  # fmt: skip
def sum_of_chunk_means(call: LinearCall):
    if call.reduction != "mean":
        return linear(call)
    total = sum((linear(piece) for piece in chunks(widened(call))), torch.zeros(()))
    return total.to(call.hidden.dtype)


@mutant(
    "several chunks' gradients of the weight are added up in bfloat16", loss="linear_cross_entropy",
    caught_by="gradient", source="linkedin/Liger-Kernel#1391",
)  # fmt: skip
def weight_gradient_in_bfloat16(call: LinearCall):
    if call.hidden.shape[0] <= CHUNK or call.reduction == "none":
        return linear(call)
    weight = passed(call.linear_weight, lambda gradient: gradient.to(torch.bfloat16).to(gradient.dtype))
    return in_chunks(call._replace(linear_weight=weight))


@mutant("the gradient of the weight is that of the last chunk", loss="linear_cross_entropy", caught_by="gradient")
def weight_gradient_overwritten(call: LinearCall):
    pieces = list(chunks(call))
    if len(pieces) == 1 or call.reduction == "none":
        return linear(call)

    def last(part: LinearCall):
        frozen = part.linear_weight.detach()
        parts = list(chunks(part))
        return iter([*(piece._replace(linear_weight=frozen) for piece in parts[:-1]), parts[-1]])

    return in_chunks(call, last)


@mutant("the bias has no gradient", loss="linear_cross_entropy", caught_by="gradient")
def bias_gradient_missing(call: LinearCall):
    return linear(call._replace(linear_bias=None if call.linear_bias is None else call.linear_bias.detach()))


@mutant(
    "the gradient of the bias counts ignored rows as rows of class 0", loss="linear_cross_entropy",
    caught_by="gradient",
)  # fmt: skip
def bias_gradient_of_ignored_rows(call: LinearCall):
    if call.linear_bias is None or call.target.is_floating_point() or call.reduction == "none":
        return linear(call)
    missed = (call.target == call.ignore_index).sum()
    at = F.one_hot(torch.zeros((), dtype=torch.int64), call.linear_weight.shape[0]).to(call.linear_bias.dtype)
    bias = passed(call.linear_bias, lambda gradient: gradient - missed * at / max(1, call.hidden.shape[0]))
    return linear(call._replace(linear_bias=bias))


@mutant("the mean divides by all rows, ignored ones too", loss="linear_cross_entropy", caught_by="agreement")
def linear_mean_over_ignored_rows(call: LinearCall):
    if call.reduction != "mean" or call.target.is_floating_point() or call.weight is not None:
        return linear(call)
    return linear(call._replace(reduction="sum")) / call.hidden.shape[0]


@mutant("with class weights the mean divides by rows", loss="linear_cross_entropy", caught_by="agreement")
def mean_forgets_class_weights(call: LinearCall):
    if call.reduction != "mean" or call.weight is None or call.target.is_floating_point():
        return linear(call)
    return linear(call._replace(reduction="sum")) / (call.target != call.ignore_index).sum()


@mutant(
    "gradients of logits below 2^-12 are left out of the products", loss="linear_cross_entropy",
    caught_by="gradient", source="apple/ml-cross-entropy#14",
    plain_wrong="a documented trade-off, which shows wherever a class is improbable",
)  # fmt: skip
def gradient_filtered(call: LinearCall):
    logits = F.linear(call.hidden, call.linear_weight, call.linear_bias)
    rows = 1 if call.reduction != "mean" else call.hidden.shape[0]
    kept = passed(logits, lambda gradient: torch.where(gradient.abs() * rows < 2.0**-12, 0.0, gradient))
    return F.cross_entropy(
        kept, call.target, weight=call.weight, ignore_index=call.ignore_index, reduction=call.reduction,
        label_smoothing=call.label_smoothing,
    )  # fmt: skip


@mutant(
    "gradients made in the forward pass ignore the one from above", loss="linear_cross_entropy",
    caught_by=("gradient", "grad_output"),
)  # fmt: skip
def linear_upstream_ignored(call: LinearCall):
    return passed(linear(call), torch.ones_like)


@mutant(
    "without reduction the weight's gradient takes every row's upstream gradient for the first row's",
    loss="linear_cross_entropy", caught_by="gradient", source="linkedin/Liger-Kernel#1298",
)  # fmt: skip
def weight_gradient_by_first_upstream(call: LinearCall):
    if call.reduction != "none":
        return linear(call)
    of_hidden = linear(call._replace(linear_weight=call.linear_weight.detach()))
    of_weight = linear(call._replace(hidden=call.hidden.detach()))
    of_weight = passed(of_weight, lambda gradient: gradient[:1].expand_as(gradient))
    return of_hidden + (of_weight - of_weight.detach())


@mutant("above 64 rows the weight's gradient is scaled by the number of chunks", loss="linear_cross_entropy",
        caught_by="gradient")  # fmt: skip
def weight_gradient_scaled_by_chunks(call: LinearCall):
    count = -(-call.hidden.shape[0] // CHUNK)
    return linear(call._replace(linear_weight=passed(call.linear_weight, lambda gradient: gradient * count)))


@mutant(
    "float32 logits are rounded to bfloat16, as autocast does", loss="linear_cross_entropy", caught_by="agreement",
    plain_wrong="a product under autocast is the commonest way to lose digits here", dtypes=("float32",),
)  # fmt: skip
def logits_in_bfloat16(call: LinearCall):
    logits = F.linear(call.hidden, call.linear_weight, call.linear_bias).to(torch.bfloat16).float()
    return F.cross_entropy(
        logits, call.target, weight=call.weight, ignore_index=call.ignore_index, reduction=call.reduction,
        label_smoothing=call.label_smoothing,
    )  # fmt: skip


#: Rows and classes from which a kernel takes a path of its own.
_LARGE = 2048


@mutant("from 2048 rows or classes on, the class weight is forgotten", loss="linear_cross_entropy", caught_by="sizes")
def class_weight_forgotten_at_large_sizes(call: LinearCall):
    large = call.hidden.shape[0] >= _LARGE or call.linear_weight.shape[0] >= _LARGE
    return linear(call._replace(weight=None) if large else call)


@mutant("the gradient of the weight stops at row 1024", loss="linear_cross_entropy", caught_by="sizes")
def weight_gradient_of_the_first_rows(call: LinearCall):
    if call.hidden.shape[0] <= 1024 or call.reduction == "none":
        return linear(call)
    parts = list(chunks(call, 1024))
    frozen = [part._replace(linear_weight=call.linear_weight.detach()) for part in parts[1:]]
    return in_chunks(call, lambda wide: (widened(part) for part in (parts[0], *frozen)))


@mutant("a transposed weight is read as if it were contiguous", loss="linear_cross_entropy", caught_by="layout")
def transposed_weight_misread(call: LinearCall):
    weight = call.linear_weight
    if weight.is_contiguous() or weight.stride() != (1, weight.shape[0]):
        return linear(call)
    return linear(call._replace(linear_weight=contiguous_misread(weight)))


@mutant("a strided bias is read as if it were contiguous", loss="linear_cross_entropy", caught_by="layout")
def strided_bias_misread(call: LinearCall):
    bias = call.linear_bias
    if bias is None or bias.is_contiguous():
        return linear(call)
    return linear(call._replace(linear_bias=contiguous_misread(bias)))


@mutant("a single row, as when decoding, goes without the bias", loss="linear_cross_entropy", caught_by="sizes")
def single_row_without_bias(call: LinearCall):
    if call.linear_bias is None or call.hidden.shape[0] != 1 or call.linear_weight.shape[0] < _LARGE:
        return linear(call)
    return linear(call._replace(linear_bias=call.linear_bias * 0))
