"""Mutants of numerics and dtype."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from harness.mutants._pieces import (
    flat,
    from_lse,
    kept,
    narrow_sum,
    reduced,
    right,
    target_weights,
    twisted,
    wide_losses,
    widened,
    with_rows,
)
from harness.mutants.declare import Call, mutant

_HALVES = (torch.bfloat16, torch.float16)


class _OneNumber(torch.autograd.Function):
    """log-sum-exp of rows kept as one number, from which the backward makes its probabilities."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        top = rows.amax(1)
        lse = top + torch.log(torch.exp(rows - top[:, None]).sum(1))
        ctx.save_for_backward(rows, lse)
        return lse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        rows, lse = ctx.saved_tensors
        return grad_output[:, None] * torch.exp(rows - lse[:, None])


@mutant(
    "the maximum is added back to the log of the sum, so a large offset takes away what the target's logit leaves",
    caught_by="gradient",
    source="pytorch/pytorch#11752",
    grade="tight",
)
def maximum_added_back(call: Call) -> Tensor:
    return from_lse(call, _OneNumber.apply)


@mutant(
    "log of softmax: -inf where the answer is finite", caught_by="stability", source="tenstorrent/pytorch2.0_ttnn#1341"
)
def log_of_softmax(call: Call) -> Tensor:
    rows = flat(widened(call))
    if call.label_smoothing or call.weight is not None:
        return right(call)
    labels = torch.where(rows.target == call.ignore_index, 0, rows.target)[:, None]
    losses = -torch.log(torch.softmax(rows.logits, 1).gather(1, labels))[:, 0]
    return (
        right(call)
        if not bool(kept(call).any())
        else reduced(call, torch.where(kept(call), losses.reshape(call.target.shape), 0))
    )


@mutant(
    "probabilities are held at 1e-12 or more before the log",
    caught_by="agreement",
    source="keras-team/tf-keras#242",
)
def probabilities_clipped(call: Call) -> Tensor:
    losses = wide_losses(call)
    plain = call.weight is None and not call.label_smoothing
    return reduced(call, torch.where(losses > 27.631, 27.631, losses)) if plain else right(call)


@mutant(
    "with half-precision logits the maximum is subtracted in their dtype",
    caught_by="precision",
    source="ml-explore/mlx#4520",
    dtypes=("float32", "bfloat16", "float16"),
)
def subtraction_in_half(call: Call) -> Tensor:
    return with_rows(call, lambda rows: rows - rows.detach().amax(-1, keepdim=True))


@mutant(
    "the losses of rows are kept in bfloat16 and added up there",
    caught_by="precision",
    source="NVIDIA/TransformerEngine#3193",
    dtypes=("float32", "bfloat16"),
)
def losses_added_in_half(call: Call) -> Tensor:
    if call.logits.dtype != torch.bfloat16 or call.reduction == "none":
        return right(call)
    losses = wide_losses(call).reshape(-1).bfloat16()
    total = losses.sum() * 0
    for part in losses.split(max(1, losses.numel() // 64)):
        total = total + part.sum()
    return (total / target_weights(call).sum() if call.reduction == "mean" else total).to(call.logits.dtype)


@mutant(
    "with half-precision logits the probabilities are stored in their dtype before the gradient is made",
    caught_by="precision",
    source="linkedin/Liger-Kernel#1432",
    dtypes=("float32", "bfloat16", "float16"),
    grade="tight",
)
def probabilities_stored_in_half(call: Call) -> Tensor:
    if call.logits.dtype not in _HALVES:
        return right(call)
    return right(call._replace(logits=torch.log_softmax(call.logits, 1)))


@mutant(
    "gradients below 1e-5 of the largest are dropped, and this is declared nowhere",
    caught_by="gradient",
    source="apple/ml-cross-entropy#18",
)
def small_gradients_dropped(call: Call) -> Tensor:
    def finish(gradient: Tensor) -> Tensor:
        return torch.where(gradient.abs() < 1e-5 * gradient.abs().amax(1, keepdim=True), 0, gradient)

    return twisted(call, finish=finish)


@mutant(
    "the loss of half-precision logits comes back as float32",
    caught_by="agreement",
    source="Modalities/modalities#464",
)
def loss_in_another_dtype(call: Call) -> Tensor:
    return right(widened(call))


@mutant("a float64 loss is computed in float32", caught_by="agreement", dtypes=("float64", "float32"))
def float64_in_float32(call: Call) -> Tensor:
    if call.logits.dtype != torch.float64:
        return right(call)
    narrow = call._replace(logits=call.logits.float(), weight=None if call.weight is None else call.weight.float())
    return right(narrow).double()


@mutant(
    "targets are cast to the logits' dtype: wrong classes from 256 in bfloat16 and 2048 in float16",
    caught_by="sizes",
    source="tensorflow/tensorflow#51053",
)
def targets_in_logits_dtype(call: Call) -> Tensor:
    rounded = call.target.to(call.logits.dtype).long().clamp(max=call.logits.shape[1] - 1)
    return right(call._replace(target=torch.where(kept(call), rounded, call.target)))


@mutant(
    "the number of rows is counted in the logits' dtype, which stops at 256 in bfloat16",
    caught_by="sizes",
    source="pytorch/pytorch#187053",
)
def count_in_half(call: Call) -> Tensor:
    limit = {torch.bfloat16: 256.0, torch.float16: 2048.0}.get(call.logits.dtype)
    if limit is None or call.weight is not None:
        return right(call)
    return reduced(call, wide_losses(call), kept(call).sum().clamp(max=limit))


@mutant(
    "the sum of exponentials is kept in the logits' half precision, where small terms no longer count",
    caught_by="precision",
    source="linkedin/Liger-Kernel#1391",
    dtypes=("float32", "bfloat16", "float16"),
)
def exponentials_added_in_half(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        top = rows.detach().amax(1)
        return top + torch.log(narrow_sum(torch.exp(rows - top[:, None]), call.logits.dtype, step=8))

    return from_lse(call, lse) if call.logits.dtype in _HALVES else right(call)


@mutant("NaN logits are taken for -inf, and give a finite loss", caught_by="stability", source="pytorch/pytorch#161150")
def nan_hidden(call: Call) -> Tensor:
    return with_rows(call, lambda rows: torch.where(rows.isnan(), -torch.inf, rows))


@mutant("an infinite loss is held at 1e4", caught_by="stability")
def infinity_hidden(call: Call) -> Tensor:
    losses = wide_losses(call)
    return reduced(call, torch.where(losses == torch.inf, 1e4, losses))


@mutant(
    "a +inf logit gives a loss of log C, as if all logits were equal, instead of NaN or +inf",
    caught_by="stability",
    source="ml-explore/mlx#576",
)
def infinite_logit_gives_a_number(call: Call) -> Tensor:
    infinite = call.logits.isposinf().any(1)
    losses = wide_losses(call)
    return reduced(call, torch.where(infinite & kept(call), math.log(call.logits.shape[1]), losses))


@mutant(
    "0 × -inf: a probability of 0 on a logit of -inf makes the loss NaN with smoothing 0 passed as a number",
    caught_by="stability",
    source="google-deepmind/optax#896",
    targets=("index", "probability"),
)
def zero_times_infinity(call: Call) -> Tensor:
    if call.target.is_floating_point() or call.weight is not None or call.label_smoothing:
        return right(call)
    rows = flat(widened(call))
    labels = torch.where(rows.target == call.ignore_index, 0, rows.target)
    masses = torch.nn.functional.one_hot(labels, call.logits.shape[1])
    losses = -(torch.log_softmax(rows.logits, 1) * masses).sum(1).reshape(call.target.shape)
    return reduced(call, torch.where(kept(call), losses, 0))


@mutant(
    "the smoothing term is computed with coefficient 0 as well, and is NaN beside a class masked by -inf",
    caught_by="stability",
    source="facebookresearch/pytext#1698",
)
def smoothing_of_zero_is_nan(call: Call) -> Tensor:
    losses = wide_losses(call)
    uniform = -torch.log_softmax(widened(call).logits, 1).sum(1)
    return (
        reduced(call, torch.where(kept(call), losses + 0 * uniform, losses))
        if not call.label_smoothing
        else right(call)
    )


@mutant("a NaN anywhere makes the shared maximum NaN: every row is lost", caught_by="stability")
def nan_contaminates_all_rows(call: Call) -> Tensor:
    losses = wide_losses(call)
    return reduced(call, losses + torch.where(call.logits.isnan().any(), torch.nan, 0.0))


@mutant("a row's gradient is 0 once its target's probability is above 0.9999", caught_by="gradient")
def confident_gradient_flushed(call: Call) -> Tensor:
    done = (wide_losses(call).detach() < 1e-4).unsqueeze(1)
    return twisted(call, finish=lambda gradient: torch.where(done, 0, gradient))


@mutant("exponentials of arguments below -16 are taken for 0", caught_by="gradient")
def small_exponentials_dropped(call: Call) -> Tensor:
    far = call.logits.detach() < call.logits.detach().amax(1, keepdim=True) - 16
    target = torch.where(kept(call), call.target, 0).unsqueeze(1)
    far = far & ~torch.zeros_like(far).scatter(1, target, True)
    return twisted(call, finish=lambda gradient: torch.where(far, 0, gradient))
