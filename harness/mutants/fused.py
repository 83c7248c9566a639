"""Mutants of the options of fused losses: cap, scale, smoothing, shards, and terms that were meant to be off."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._pieces import (
    flat,
    from_lse,
    kept,
    reduced,
    right,
    tiles,
    twisted,
    wide_losses,
    widened,
    with_rows,
)
from harness.mutants.declare import Call, mutant

_SHARD = 512


def _smoothed(call: Call, uniform: Tensor) -> Tensor:
    """The loss with ``uniform`` (N, d1, …) as its smoothing term, unweighted."""
    hard = wide_losses(call._replace(label_smoothing=0.0))
    losses = (1 - call.label_smoothing) * hard + call.label_smoothing * uniform
    return reduced(call, torch.where(kept(call), losses, 0))


@mutant(
    "a soft cap of 20000 was left on: cap · tanh(logit / cap)",
    caught_by="relations",
    source="unslothai/unsloth-zoo#593",
)
def soft_cap_left_on(call: Call) -> Tensor:
    return with_rows(call, lambda rows: (20000 * torch.tanh(rows.double() / 20000)).to(rows.dtype))


@mutant("a hard cap holds logits within ±5000", caught_by="relations", source="unslothai/unsloth-zoo#1277")
def hard_cap_left_on(call: Call) -> Tensor:
    return with_rows(call, lambda rows: rows.clamp(-5000, 5000))


@mutant("a z-loss of 1e-12 · lse² was left on", caught_by="relations", source="allenai/OLMo#523")
def z_loss_left_on(call: Call) -> Tensor:
    extra = 1e-12 * torch.logsumexp(widened(call).logits, 1) ** 2
    return reduced(call, wide_losses(call) + torch.where(kept(call), extra, 0))


@mutant(
    "label smoothing spreads over the C - 1 other classes, and this is declared nowhere",
    caught_by="options",
    source="NVIDIA/Megatron-LM#737",
)
def smoothing_over_others(call: Call) -> Tensor:
    classes = call.logits.shape[1]
    if not call.label_smoothing or call.weight is not None or classes == 1:
        return right(call)
    share = call.label_smoothing * classes / (classes - 1)
    return right(call._replace(label_smoothing=min(share, 1.0)))


@mutant(
    "label smoothing takes the mean over the last shard of the classes alone",
    caught_by="options",
    source="NVIDIA/Megatron-LM#5522",
)
def smoothing_over_one_shard(call: Call) -> Tensor:
    if not call.label_smoothing or call.weight is not None:
        return right(call)
    half = (call.logits.shape[1] + 1) // 2
    return _smoothed(call, -torch.log_softmax(widened(call).logits, 1)[:, half - 1 :].mean(1))


@mutant(
    "shards of 512 classes overlap in a ragged vocabulary, whose last classes count twice",
    caught_by="sizes",
    source="NVIDIA/Megatron-LM#7452",
)
def overlapping_shards(call: Call) -> Tensor:
    def lse(rows: Tensor) -> Tensor:
        parts = list(tiles(rows, _SHARD))
        if len(parts) > 1:
            parts[-1] = rows[:, -_SHARD:]
        return torch.logsumexp(torch.stack([torch.logsumexp(part, 1) for part in parts]), 0)

    return from_lse(call, lse)


@mutant("the smoothing term is left out of the gradient", caught_by="options")
def smoothing_missing_in_gradient(call: Call) -> Tensor:
    if not call.label_smoothing:
        return right(call)
    hard = right(call._replace(label_smoothing=0.0))
    return right(call).detach() + hard - hard.detach()


@mutant("the smoothing term is not weighted", caught_by="options")
def smoothing_not_weighted(call: Call) -> Tensor:
    if not call.label_smoothing or call.weight is None:
        return right(call)
    return _smoothed(call, -torch.log_softmax(widened(call).logits, 1).mean(1))


@mutant("label smoothing of exactly 1 is taken for off", caught_by="options")
def smoothing_of_one_is_off(call: Call) -> Tensor:
    return right(call._replace(label_smoothing=0.0) if call.label_smoothing == 1 else call)


@mutant("class weights scale the logits instead of the loss", caught_by="options")
def weight_scales_logits(call: Call) -> Tensor:
    if call.weight is None:
        return right(call)
    return with_rows(call._replace(weight=None), lambda rows: rows * call.weight)


@mutant(
    "softmax of the softmax: a flag was not passed on",
    caught_by="agreement",
    source="SciSharp/TensorFlow.NET#987",
    plain_wrong="coarse tolerances let it through, though no row falls below log(1 + (C - 1) / e)",
)
def double_softmax(call: Call) -> Tensor:
    return with_rows(call, lambda rows: torch.softmax(rows, -1))


@mutant("the gradient of the sum is divided by N", caught_by="gradient", source="fetchai/ledger#1580")
def sum_gradient_averaged(call: Call) -> Tensor:
    if call.reduction != "sum":
        return right(call)
    rows = max(kept(call).numel(), 1)
    return twisted(call, finish=lambda gradient: gradient / rows)


@mutant(
    "label smoothing with weight divides the mean by the summed weight of all classes",
    caught_by="options",
)
def smoothed_mean_over_all_weights(call: Call) -> Tensor:
    if call.weight is None or not call.label_smoothing or call.reduction != "mean":
        return right(call)
    return reduced(call, wide_losses(call), kept(call).sum() * widened(call).weight.mean())


@mutant(
    "with label smoothing, ignored rows keep the gradient of the smoothing term",
    caught_by="options",
    source="tinygrad/tinygrad#3570",
)
def smoothing_gradient_in_ignored_rows(call: Call) -> Tensor:
    if not call.label_smoothing or bool(kept(call).all()):
        return right(call)
    rows = flat(widened(call)).logits
    uniform = -torch.log_softmax(rows, 1).mean(1).reshape(call.target.shape)
    leak = call.label_smoothing * torch.where(kept(call), 0, uniform)
    loss = right(call)
    leak = leak if call.reduction == "none" else leak.sum()
    return loss + (leak - leak.detach()).to(loss.dtype)


@mutant(
    "smoothing and probability targets together smooth twice",
    caught_by="options",
    targets=("index", "probability"),
)
def probabilities_smoothed_twice(call: Call) -> Tensor:
    if not call.target.is_floating_point() or not call.label_smoothing:
        return right(call)
    share = call.label_smoothing
    return right(call._replace(target=(1 - share) * call.target + share / call.logits.shape[1]))
