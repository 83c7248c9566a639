"""Mutants of tiles, tails and the size of the vocabulary."""

from __future__ import annotations

import ctypes
import time

import torch
from torch import Tensor

from harness.mutants._pieces import (
    flat,
    from_lse,
    reduced,
    right,
    shaped,
    tiles,
    twisted,
    wide_losses,
    widened,
    with_rows,
)
from harness.mutants.declare import Call, mutant

_TILE = 128
#: Rows that a grid of 16 bits can count.
_GRID = 1 << 16


@mutant(
    "classes beyond the last whole tile of 1024 are left out of the sum",
    caught_by="sizes",
    source="verl-project/verl#2899",
)
def tail_dropped(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        whole = rows.shape[1] // 1024 * 1024
        return torch.logsumexp(rows[:, : whole or None], 1)

    return from_lse(call, lse)


@mutant(
    "a target in the last, ragged tile of 128 finds the padding's -inf instead of its logit",
    caught_by="sizes",
    source="apple/ml-cross-entropy#59",
)
def target_in_ragged_tile_lost(call: Call) -> Tensor:
    classes = call.logits.shape[1]
    losses = wide_losses(call)
    if classes <= _TILE or classes % _TILE == 0 or call.target.is_floating_point():
        return right(call)
    lost = (call.target >= classes // _TILE * _TILE) & (call.target != call.ignore_index)
    return reduced(call, torch.where(lost, torch.inf, losses))


@mutant(
    "the running maximum starts at 0, so rows far below it underflow",
    caught_by="relations",
    source="verl-project/verl#7439",
)
def maximum_starts_at_zero(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top = rows.amax(1).clamp(min=0)
        return top + torch.log(torch.exp(rows - top[:, None]).sum(1))

    return from_lse(call, lse)


@mutant(
    "the padding of a ragged tile is -1e4 instead of -inf, and gains mass in rows far below it",
    caught_by="relations",
    source="unslothai/unsloth#10616",
)
def padding_is_finite(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        return torch.logsumexp(torch.nn.functional.pad(rows, (0, -rows.shape[1] % 64), value=-1e4), 1)

    return from_lse(call, lse)


@mutant("the running sum is not rescaled when a later tile of 128 raises the maximum", caught_by="sizes")
def running_sum_not_rescaled(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top, total = tiles(rows, _TILE)[0].amax(1), torch.zeros(rows.shape[0], dtype=rows.dtype)
        for tile in tiles(rows, _TILE):
            top = torch.maximum(top, tile.amax(1))
            total = total + torch.exp(tile - top[:, None]).sum(1)
        return top + torch.log(total)

    return from_lse(call, lse)


@mutant("the maximum is that of the first tile of 128, so later ones overflow", caught_by="sizes")
def maximum_of_first_tile(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top = rows[:, :_TILE].amax(1)
        return top + torch.log(torch.exp(rows - top[:, None]).sum(1))

    return from_lse(call, lse)


@mutant(
    "in float64 every row but the first loses its last class at odd C from 513 to 1023",
    caught_by="sizes",
    source="pytorch/pytorch#143644",
    dtypes=("float64", "float32"),
)
def odd_width_in_float64(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        full = torch.logsumexp(rows, 1)
        odd = rows.dtype == torch.float64 and rows.shape[1] % 2 == 1 and 513 <= rows.shape[1] <= 1023
        return torch.cat((full[:1], torch.logsumexp(rows[1:, :-1], 1))) if odd and len(rows) > 1 else full

    return from_lse(call, lse)


@mutant("a single class is NaN: its lanes hold exp(-inf + inf)", caught_by="ignored", source="pytorch/pytorch#182867")
def one_class_is_nan(call: Call) -> Tensor:
    loss = right(call)
    return loss * torch.nan if call.logits.shape[1] == 1 else loss


@mutant("a warp with idle lanes takes 0 into the maximum when C is below 4", caught_by="sizes", source="m0at/rvllm#1")
def idle_lanes_give_zero(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top = rows.amax(1)
        return (
            torch.where(top < 0, torch.zeros_like(top), torch.logsumexp(rows, 1))
            if rows.shape[1] < 4
            else torch.logsumexp(rows, 1)
        )

    return from_lse(call, lse)


@mutant(
    "more than 65536 classes do not fit: the launch fails and the rest is left out",
    caught_by="agreement",
    source="ggml-org/llama.cpp#10467",
)
def too_many_classes_swallowed(call: Call) -> Tensor:
    return from_lse(call, lambda rows: torch.logsumexp(rows[:, :_GRID], 1))


@mutant(
    "with odd C in half precision, rows after the first begin one element early",
    caught_by="sizes",
    source="tensorflow/tensorflow#25977",
    dtypes=("float32", "bfloat16", "float16"),
)
def odd_row_misaligned_in_half(call: Call) -> Tensor:
    if call.logits.element_size() > 2 or call.logits.shape[1] % 2 == 0 or call.logits.shape[1] < 64:
        return right(call)
    return with_rows(call, lambda rows: rows.flatten().roll(1).reshape(rows.shape))


@mutant("the maximum is that of the whole matrix", caught_by="relations", source="manassharma07/crysx_nn#7")
def maximum_of_the_matrix(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top = rows.max() if rows.numel() else rows.sum()
        return top + torch.log(torch.exp(rows - top).sum(1))

    return from_lse(call, lse)


@mutant("does not compile for 513 classes or more when C is odd", caught_by="sizes", source="triton-lang/triton#5435")
def compilation_fails(call: Call) -> Tensor:
    if call.logits.shape[1] > 512 and call.logits.shape[1] % 2:
        raise RuntimeError("failed to legalize operation 'tt.reduce'")
    return right(call)


@mutant("reads outside its memory and crashes at C = 2^k + 1 from 257 on", caught_by="sizes", dtypes=("float32",))
def crashes_past_a_tile_edge(call: Call) -> Tensor:
    if call.logits.shape[1] in (257, 513, 1025, 2049):
        ctypes.string_at(0)
    return right(call)


@mutant("waits for ever at C = 129", caught_by="sizes", dtypes=("float32",))
def hangs_past_a_tile_edge(call: Call) -> Tensor:
    while call.logits.shape[1] == 129:
        time.sleep(1)
    return right(call)


@mutant("rows beyond a grid of 65536 are left unwritten as zeros", caught_by="sizes")
def rows_beyond_the_grid(call: Call) -> Tensor:
    losses = wide_losses(call)
    within = torch.arange(losses.numel()).reshape(losses.shape) < _GRID
    return reduced(call, losses * within)


@mutant("beyond 4096 rows, a last block of less than 8 rows is not run", caught_by="sizes")
def last_block_of_rows_skipped(call: Call) -> Tensor:
    losses = wide_losses(call)
    if losses.numel() <= 4096:
        return right(call)
    within = torch.arange(losses.numel()).reshape(losses.shape) < losses.numel() // 8 * 8
    return reduced(call, losses * within)


@mutant("the target's logit is shifted by its own tile's maximum, the sum by the row's", caught_by="sizes")
def target_shifted_by_tile_maximum(call: Call) -> Tensor:
    def shift(rows: Tensor) -> Tensor:
        top = rows.amax(1, keepdim=True)
        parts = [tile + (top - tile.amax(1, keepdim=True)) for tile in tiles(rows, _TILE)]
        return torch.cat(parts, 1)

    rows = flat(widened(call))
    labels = rows.target.clamp(0, call.logits.shape[1] - 1)[:, None]
    wrong = torch.logsumexp(rows.logits, 1) - shift(rows.logits).gather(1, labels)[:, 0]
    if call.label_smoothing or call.weight is not None or bool((rows.target < 0).any()):
        return right(call)
    return reduced(call, shaped(call, wrong))


@mutant("the last class of a row longer than 128 gets no gradient", caught_by="sizes")
def last_class_without_gradient(call: Call) -> Tensor:
    def finish(gradient: Tensor) -> Tensor:
        if gradient.shape[1] > _TILE:
            gradient[:, -1] = 0
        return gradient

    return twisted(call, finish=finish)


@mutant("equal maxima are counted once", caught_by="agreement")
def ties_counted_once(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top, where = rows.max(1)
        others = torch.exp(rows - top[:, None]) * (rows < top[:, None])
        return top + torch.log1p(others.sum(1)) + 0 * where

    return from_lse(call, lse)
