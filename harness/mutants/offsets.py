"""Mutants of offsets that overflow: 32 bits imitated on the CPU, and the narrower integers that kernels count with."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._pieces import reduced, right, twisted, wide_losses
from harness.mutants.declare import Call, mutant

#: Largest element offset, and row count, that the narrow integers can hold.
_INT32 = 1 << 31
_INT16 = 1 << 15
_UINT16 = 1 << 16


def _rows_in_reach(call: Call) -> int:
    """Rows whose element offset, row · stride, fits into 32 bits."""
    return _INT32 // max(call.logits.stride(0), 1) + 1


@mutant(
    "row offsets overflow 32 bits in the forward: rows past 2^31 elements read the first row",
    caught_by="large_index",
    source="pytorch/pytorch#85005",
)
def int32_offset_forward(call: Call) -> Tensor:
    reach = _rows_in_reach(call)
    if call.logits.shape[0] <= reach:
        return right(call)
    losses = wide_losses(call)
    astray = call.logits[:1].expand(call.logits.shape[0] - reach, *call.logits.shape[1:])
    return reduced(
        call, torch.cat((losses[:reach], wide_losses(call._replace(logits=astray, target=call.target[reach:]))))
    )


@mutant(
    "row offsets overflow 32 bits in the backward alone: the gradient of the last rows is never written",
    caught_by="large_index",
    source="pytorch/pytorch#190139",
)
def int32_offset_backward(call: Call) -> Tensor:
    reach = _rows_in_reach(call)

    def finish(gradient: Tensor) -> Tensor:
        gradient[reach:] = 0
        return gradient

    return twisted(call, finish=finish)


@mutant(
    "the last rows past 2^31 elements are skipped, without an error",
    caught_by="large_index",
    source="pytorch/pytorch#84144",
)
def rows_past_int32_skipped(call: Call) -> Tensor:
    reach = _rows_in_reach(call)
    losses = wide_losses(call)
    return right(call) if losses.shape[0] <= reach else reduced(call, torch.cat((losses[:reach], 0 * losses[reach:])))


@mutant(
    "row pointers of a padded view overflow 32 bits, though few elements are used",
    caught_by="large_index",
    source="huggingface/trl#7266",
)
def int32_pointer_of_padded_rows(call: Call) -> Tensor:
    padded = call.logits.dim() == 2 and call.logits.stride(0) > call.logits.shape[1]
    reach = _rows_in_reach(call)
    if not padded or call.logits.shape[0] <= reach:
        return right(call)
    return right(call._replace(logits=torch.cat((call.logits[:reach], call.logits[: call.logits.shape[0] - reach]))))


@mutant("rows are counted in 16 bits: from row 65536 on they are the first rows again", caught_by="sizes")
def uint16_row_count(call: Call) -> Tensor:
    rows = call.logits.shape[0]
    if rows <= _UINT16:
        return right(call)
    return right(call._replace(logits=call.logits[torch.arange(rows) % _UINT16]))


@mutant("rows are counted in 15 bits in the backward: gradients from row 32768 on are not written", caught_by="sizes")
def int16_row_count_backward(call: Call) -> Tensor:
    def finish(gradient: Tensor) -> Tensor:
        gradient[_INT16:] = 0
        return gradient

    return twisted(call, finish=finish)


@mutant("targets are kept in 16 bits: classes from 32768 on are others", caught_by="agreement")
def int16_target(call: Call) -> Tensor:
    low = call.target & (_INT16 - 1)
    return right(call._replace(target=torch.where(call.target >= _INT16, low, call.target)))


@mutant("the column count of the backward is held in 12 bits: gradients from class 4096 on are 0", caught_by="gradient")
def columns_past_4096_without_gradient(call: Call) -> Tensor:
    def finish(gradient: Tensor) -> Tensor:
        gradient[:, 4096:] = 0
        return gradient

    return twisted(call, finish=finish)
