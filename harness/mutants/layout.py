"""Mutants of layout, strides and the class dimension."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._pieces import contiguous_misread, flat, kept, right, shaped, twisted
from harness.mutants.declare import Call, mutant

_PLANES = 4


@mutant(
    "rows are taken to be C apart whenever the last stride is 1",
    caught_by="layout",
    source="NVIDIA/TransformerEngine#2734",
)
def row_stride_assumed(call: Call) -> Tensor:
    logits = call.logits
    if logits.dim() == 2 and logits.stride(1) == 1 and not logits.is_contiguous() and 0 not in logits.stride():
        return right(call._replace(logits=contiguous_misread(logits)))
    return right(call)


@mutant("a strided target is read as if it were contiguous", caught_by="layout", source="pytorch/pytorch#67167")
def strided_target_misread(call: Call) -> Tensor:
    if call.target.is_floating_point() or call.target.is_contiguous():
        return right(call)
    return right(call._replace(target=contiguous_misread(call.target)))


@mutant("transposed logits are read as if they were contiguous", caught_by="layout", source="unslothai/unsloth#10713")
def transposed_misread(call: Call) -> Tensor:
    logits = call.logits
    if logits.dim() == 2 and logits.stride() == (1, logits.shape[0]) and not logits.is_contiguous():
        return right(call._replace(logits=contiguous_misread(logits)))
    return right(call)


@mutant("the storage offset of a view is forgotten: reading begins with the storage", caught_by="layout")
def storage_offset_forgotten(call: Call) -> Tensor:
    logits = call.logits
    return right(call._replace(logits=torch.as_strided(logits, logits.shape, logits.stride(), 0)))


@mutant("vector loads round an unaligned address down to a multiple of 16 bytes", caught_by="layout")
def unaligned_address_rounded(call: Call) -> Tensor:
    logits = call.logits
    lane = 16 // logits.element_size()
    aligned = logits.storage_offset() // lane * lane
    return right(call._replace(logits=torch.as_strided(logits, logits.shape, logits.stride(), aligned)))


@mutant(
    "in 4-D the gradient is written in channels-last order and read in the other",
    caught_by="layout",
    source="pytorch/pytorch#175084",
)
def gradient_in_4d_misordered(call: Call) -> Tensor:
    def finish(gradient: Tensor) -> Tensor:
        if gradient.dim() != _PLANES:
            return gradient
        return gradient.movedim(1, -1).contiguous().reshape(gradient.shape)

    return twisted(call, finish=finish)


@mutant(
    "the gradient of transposed logits is written in row order into their layout",
    caught_by="layout",
    source="pytorch/pytorch#139740",
)
def gradient_order_of_transposed(call: Call) -> Tensor:
    logits = call.logits
    transposed = logits.dim() == 2 and logits.stride(0) == 1 and not logits.is_contiguous()

    def finish(gradient: Tensor) -> Tensor:
        return gradient.contiguous().reshape(gradient.shape[::-1]).t() if transposed else gradient

    return twisted(call, finish=finish)


@mutant(
    "the softmax of more than two dimensions runs over the last one, when it is as long as C",
    caught_by="layout",
    source="PaddlePaddle/Paddle#27311",
)
def class_dimension_last(call: Call) -> Tensor:
    if call.logits.dim() > 2 and call.logits.shape[-1] == call.logits.shape[1]:
        return right(call._replace(logits=call.logits.transpose(1, -1)))
    return right(call)


@mutant("in 5-D the rows are those of the tensor read as (N·d1·…, C)", caught_by="layout")
def rows_of_5d_misread(call: Call) -> Tensor:
    if call.logits.dim() <= _PLANES:
        return right(call)
    rows = call.logits.reshape(-1, call.logits.shape[1])
    return right(call._replace(logits=rows.reshape(flat(call).logits.shape), target=call.target.reshape(-1)))


@mutant("in 3-D the losses of reduction none come back as (N·d1,)", caught_by="layout")
def losses_come_back_flat(call: Call) -> Tensor:
    loss = right(call)
    return loss.reshape(-1) if call.reduction == "none" else loss


@mutant("a mean over more than two dimensions divides by N alone", caught_by="layout")
def mean_over_batch_alone(call: Call) -> Tensor:
    loss = right(call)
    if call.reduction != "mean" or call.logits.dim() == 2:
        return loss
    return loss * (kept(call).numel() // max(call.logits.shape[0], 1))


@mutant("uint8 targets are read as signed, so that classes from 128 on are negative", caught_by="layout")
def uint8_target_signed(call: Call) -> Tensor:
    if call.target.dtype != torch.uint8:
        return right(call)
    return right(call._replace(target=call.target.to(torch.int8).long() % call.logits.shape[1]))


@mutant("int32 targets are read as int64, two at a time", caught_by="layout")
def int32_target_misread(call: Call) -> Tensor:
    if call.target.dtype != torch.int32:
        return right(call)
    pairs = torch.cat((call.target, call.target)).contiguous().view(torch.int64).reshape(call.target.shape)
    return right(call._replace(target=pairs % call.logits.shape[1]))


@mutant("expanded logits have their gradient written to the first row alone", caught_by="layout")
def gradient_of_expanded_in_first_row(call: Call) -> Tensor:
    expanded = call.logits.stride(0) == 0 and call.logits.shape[0] > 1

    def finish(gradient: Tensor) -> Tensor:
        first = torch.zeros_like(gradient, memory_format=torch.contiguous_format)
        first[0] = gradient[0]
        return first if expanded else gradient

    return twisted(call, finish=finish)


@mutant(
    "padded rows are read as contiguous, in half precision alone",
    caught_by="layout",
    source="pytorch/pytorch#69617",
    dtypes=("float32", "bfloat16"),
)
def padded_misread_in_half(call: Call) -> Tensor:
    padded = call.logits.dim() == 2 and call.logits.stride(1) == 1 and not call.logits.is_contiguous()
    if padded and call.logits.dtype == torch.bfloat16:
        return right(call._replace(logits=contiguous_misread(call.logits)))
    return right(call)


@mutant("strides of more than two dimensions are taken to be those of (N, C, d…) in memory", caught_by="layout")
def permuted_spatial_misread(call: Call) -> Tensor:
    if call.logits.dim() > 2 and not call.logits.is_contiguous() and 0 not in call.logits.stride():
        return (
            shaped(call, right(flat(call._replace(logits=contiguous_misread(call.logits)))))
            if call.reduction == "none"
            else right(call._replace(logits=contiguous_misread(call.logits)))
        )
    return right(call)
