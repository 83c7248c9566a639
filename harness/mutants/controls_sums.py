"""Controls that sum in unusual ways; each is right, and must not be accused."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from harness.mutants._composed import composed, from_log_sum, shifted
from harness.mutants.declare import Call, control

_TILE = 64
#: A generator of its own: the caller's random numbers stay as they were.
_ORDER = torch.Generator().manual_seed(7)


@control("the sum of exponentials is compensated, as Kahan does, over tiles of 64 classes")
def kahan_sum(call: Call) -> Tensor:
    def log_sum(rows: Tensor) -> Tensor:
        total = lost = torch.zeros(rows.shape[0], dtype=rows.dtype)
        for tile in rows.split(_TILE, 1):
            part = torch.exp(tile).sum(1) - lost
            new = total + part
            total, lost = new, ((new - total) - part).detach()
        return torch.log(total)

    return from_log_sum(log_sum, call)


@control("everything is computed in float64 and rounded once")
def float64_inside(call: Call) -> Tensor:
    return composed(lambda rows: torch.log_softmax(rows.double(), 1), call)


@control("a running maximum over tiles of 64, the sum rescaled as it grows")
def online_tiles(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        top = rows.new_full(rows.shape[:1], -torch.inf)
        total = rows.new_zeros(rows.shape[:1])
        for tile in rows.split(_TILE, 1):
            larger = torch.maximum(top, tile.detach().amax(1))
            # while all classes so far are masked the maximum is -inf, and exp(-inf + inf) would be NaN
            shift = torch.where(larger.isneginf(), 0, larger)
            total = total * torch.exp(torch.where(larger.isneginf(), 0, top) - shift) + torch.exp(
                tile - shift[:, None]
            ).sum(1)
            top = larger
        return (rows - top[:, None]) - torch.log(total)[:, None]

    return composed(log_probabilities, call)


@control("one maximum is taken out of the sum: log1p of the others, exact where the loss is near 0")
def log1p_form(call: Call) -> Tensor:
    def log_sum(rows: Tensor) -> Tensor:
        largest = torch.zeros_like(rows, dtype=torch.bool).scatter(1, rows.argmax(1, keepdim=True), True)
        value = torch.log1p(torch.where(largest, 0, torch.exp(rows)).sum(1)) + rows.amax(1)
        return _with_plain_gradient(value, rows)

    return from_log_sum(log_sum, call)


@control("log-sum-exp by a tree of logaddexp")
def logaddexp_tree(call: Call) -> Tensor:
    def tree(rows: Tensor) -> Tensor:
        while rows.shape[1] > 1:
            half = rows.shape[1] // 2
            paired = torch.logaddexp(rows[:, :half], rows[:, half : 2 * half])
            rows = torch.cat((paired, rows[:, 2 * half :]), 1)
        return rows[:, 0]

    return from_log_sum(lambda rows: _with_plain_gradient(tree(rows.detach()), rows), call)


def _with_plain_gradient(value: Tensor, rows: Tensor) -> Tensor:
    """``value`` with the gradient of log Σ exp: log1p's cancels at the largest class, logaddexp's is NaN at -inf."""
    plain = torch.log(torch.exp(rows).sum(1))
    return value.detach() + (plain - plain.detach())


@control("log-sum-exp by recursion on halves of the classes")
def recursion_on_halves(call: Call) -> Tensor:
    def total(rows: Tensor) -> Tensor:
        if rows.shape[1] <= _TILE:
            return torch.exp(rows).sum(1)
        middle = rows.shape[1] // 2
        return total(rows[:, :middle]) + total(rows[:, middle:])

    return from_log_sum(lambda rows: torch.log(total(rows)), call)


@control("exponentials are sorted and added smallest first")
def sorted_sum(call: Call) -> Tensor:
    return from_log_sum(lambda rows: torch.log(torch.exp(rows).sort(1).values.sum(1)), call)


@control("base 2 throughout: exp2 of logits times log2 e, log2 times ln 2")
def exp2_path(call: Call) -> Tensor:
    return from_log_sum(lambda rows: torch.log2(torch.exp2(rows * math.log2(math.e)).sum(1)) * math.log(2), call)


@control("classes are added in another random order at each call, from a generator of its own")
def random_order_sum(call: Call) -> Tensor:
    def log_sum(rows: Tensor) -> Tensor:
        order = torch.randperm(rows.shape[1], generator=_ORDER)
        return torch.log(torch.exp(rows[:, order]).sum(1))

    return from_log_sum(log_sum, call)


@control("rows are padded with -inf to a multiple of 128 classes")
def padded_lanes(call: Call) -> Tensor:
    def log_sum(rows: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(rows, (0, -rows.shape[1] % 128), value=-torch.inf)
        return torch.log(torch.exp(padded).sum(1))

    return from_log_sum(log_sum, call)


@control("the vocabulary is cut into three shards whose log-sum-exps are combined")
def three_shards(call: Call) -> Tensor:
    def log_sum(rows: Tensor) -> Tensor:
        sums = [torch.exp(shard).sum(1) for shard in rows.tensor_split(3, 1)]
        return torch.log(torch.stack(sums).sum(0))

    return from_log_sum(log_sum, call)


@control("rows are done in chunks of 5")
def chunked_rows(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        return torch.cat([torch.log_softmax(chunk, 1) for chunk in rows.split(max(5, len(rows) // 64))])

    return composed(log_probabilities, call)


@control("the sum of exponentials is a matrix product with a vector of ones")
def sum_by_matmul(call: Call) -> Tensor:
    def log_sum(rows: Tensor) -> Tensor:
        return torch.log(torch.exp(rows) @ rows.new_ones(rows.shape[1]))

    return from_log_sum(log_sum, call)


@control("the shift is the row's maximum plus one, so that no exponential is 1")
def shift_above_the_maximum(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        moved = shifted(rows) - 1
        return moved - torch.log(torch.exp(moved).sum(1, keepdim=True))

    return composed(log_probabilities, call)


@control("the maximum is subtracted inside autograd, so that rounding is left in the gradient of the largest logit")
def maximum_not_detached(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        top = rows.amax(1, keepdim=True)
        moved = rows - torch.where(top.isneginf(), 0, top)
        return moved - torch.log(torch.exp(moved).sum(1, keepdim=True))

    return composed(log_probabilities, call)


@control("log-sum-exp of log-sum-exps of 33 classes each, unshifted: its roundings add up")
def joined_log_sums(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        parts = [part.logsumexp(1) for part in rows.split(33, 1)]
        # of parts that are all masked the gradient of a second log-sum-exp would be NaN
        value = torch.stack([part.detach() for part in parts], 1).logsumexp(1, keepdim=True)
        whole = rows.logsumexp(1, keepdim=True)
        return rows - (value + (whole - whole.detach()))

    return composed(log_probabilities, call)
