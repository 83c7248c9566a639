"""Mutants where an option meets a size, a dimension, a regime or another call: right wherever one of them is plain."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.mutants._pieces import (
    contiguous_misread,
    flat,
    from_lse,
    gradient_of,
    kept,
    reduced,
    right,
    shaped,
    target_weights,
    twisted,
    wide_losses,
    widened,
)
from harness.mutants.declare import Call, mutant

#: Classes from which a kernel takes its path for large vocabularies, and rows from which it works in chunks.
_LARGE = 2048
_CHUNK = 1024
#: What mutants remember between calls.
_KEPT: dict[Any, Tensor] = {}


def _many(call: Call) -> bool:
    return call.logits.shape[1] >= _LARGE


@mutant("from 2048 classes on, ignored rows count in the mean", caught_by="agreement")
def ignored_counted_in_large_vocabulary(call: Call) -> Tensor:
    if not _many(call) or call.weight is not None or call.label_smoothing:
        return right(call)
    return reduced(call, wide_losses(call), kept(call).numel())


@mutant("from 2048 classes on, the class weight is forgotten", caught_by="agreement")
def weight_forgotten_in_large_vocabulary(call: Call) -> Tensor:
    return right(call._replace(weight=None) if _many(call) else call)


@mutant("from 2048 classes on, label smoothing is forgotten", caught_by="agreement")
def smoothing_forgotten_in_large_vocabulary(call: Call) -> Tensor:
    return right(call._replace(label_smoothing=0.0) if _many(call) else call)


@mutant("from 2048 classes on, all rows are scaled by grad_output[0]", caught_by="gradient")
def first_upstream_in_large_vocabulary(call: Call) -> Tensor:
    def upstream(g: Tensor) -> Tensor:
        return g.flatten()[:1].expand(g.numel()).reshape(g.shape) if g.dim() and g.numel() and _many(call) else g

    return twisted(call, upstream=upstream)


@mutant("from 2048 classes on, rows are taken to be C apart", caught_by="stability")
def row_stride_assumed_in_large_vocabulary(call: Call) -> Tensor:
    logits = call.logits
    padded = logits.dim() == 2 and logits.stride(1) == 1 and not logits.is_contiguous() and 0 not in logits.stride()
    return right(call._replace(logits=contiguous_misread(logits)) if padded and _many(call) else call)


@mutant("from 1000 classes on, the caller's logits are shifted in place", caught_by="agreement")
def large_logits_shifted_in_place(call: Call) -> Tensor:
    loss = right(call)
    if call.logits.shape[1] >= 1000:
        call.logits.data.sub_(0.5)
    return loss


@mutant("a mean over chunks of 1024 rows weighs each chunk by its rows, ignored ones included", caught_by="agreement")
def chunks_weighed_by_their_rows(call: Call) -> Tensor:
    if call.reduction != "mean" or call.target.numel() <= _CHUNK or call.target.is_floating_point():
        return right(call)
    losses, weights = wide_losses(call).flatten(), target_weights(call).flatten()
    means = [a.sum() / b.sum() * len(a) for a, b in zip(losses.split(_CHUNK), weights.split(_CHUNK), strict=True)]
    return (torch.stack(means).sum() / len(losses)).to(call.logits.dtype)


@mutant("in more than two dimensions the smoothing term is the mean over the last one", caught_by="agreement")
def smoothing_along_last_dimension(call: Call) -> Tensor:
    if call.logits.dim() == 2 or not call.label_smoothing or call.weight is not None or call.target.is_floating_point():
        return right(call)
    uniform = -torch.log_softmax(widened(call).logits, 1).mean(-1, keepdim=True).mean(1).expand(call.target.shape)
    hard = wide_losses(call._replace(label_smoothing=0.0))
    losses = (1 - call.label_smoothing) * hard + call.label_smoothing * uniform
    return reduced(call, torch.where(kept(call), losses, 0))


@mutant(
    "in more than two dimensions the gradient of the smoothing term runs along the last one; the loss is right",
    caught_by="gradient",
)
def smoothing_gradient_along_last_dimension(call: Call) -> Tensor:
    if call.logits.dim() == 2 or not call.label_smoothing or call.logits.shape[1] != call.logits.shape[-1]:
        return right(call)
    turned = call._replace(logits=call.logits.transpose(1, -1), label_smoothing=call.label_smoothing)
    if call.target.is_floating_point() or call.reduction == "none":
        return right(call)
    hard, whole = right(call._replace(label_smoothing=0.0)), right(call)
    uniform = right(turned) - right(turned._replace(label_smoothing=0.0))
    return whole.detach() + (hard - hard.detach()) + (uniform - uniform.detach())


@mutant(
    "with probability targets in more than two dimensions the weight runs along the last one, when it is as long as C",
    caught_by="agreement",
    targets=("index", "probability"),
)
def weight_along_last_dimension(call: Call) -> Tensor:
    logits, weight = call.logits, call.weight
    if logits.dim() == 2 or weight is None or not call.target.is_floating_point() or logits.shape[-1] != weight.numel():
        return right(call)
    return right(call._replace(target=call.target * weight, weight=None))


@mutant(
    "label smoothing leaves out classes masked by -inf, and a loss that should be infinite is a number",
    caught_by="stability",
)
def smoothing_skips_masked_classes(call: Call) -> Tensor:
    if not call.label_smoothing or call.weight is not None or call.target.is_floating_point():
        return right(call)
    logs = torch.log_softmax(widened(call).logits, 1)
    uniform = -torch.where(logs.isneginf(), 0, logs).mean(1)
    hard = wide_losses(call._replace(label_smoothing=0.0))
    losses = (1 - call.label_smoothing) * hard + call.label_smoothing * uniform
    return reduced(call, torch.where(kept(call), losses, 0))


@mutant("an ignore_index of 0 is taken for none: it is falsy", caught_by="agreement")
def ignore_index_zero_is_falsy(call: Call) -> Tensor:
    return right(call if call.ignore_index else call._replace(ignore_index=-(10**6)))


@mutant("the mean leaves out rows whose loss is exactly 0, as if they were ignored", caught_by="agreement")
def zero_losses_not_counted(call: Call) -> Tensor:
    losses = wide_losses(call)
    if call.reduction != "mean" or call.weight is not None or bool((losses == 0).all()):
        return right(call)
    return reduced(call, losses, ((losses != 0) & kept(call)).sum())


@mutant("squeeze() takes a batch of one row for a size of 1, and reduction none loses its shape", caught_by="ignored")
def single_row_squeezed(call: Call) -> Tensor:
    return right(call).squeeze()


@mutant("probability targets are divided by their sum", caught_by="relations", targets=("index", "probability"))
def probabilities_normalised(call: Call) -> Tensor:
    if not call.target.is_floating_point():
        return right(call)
    return right(call._replace(target=call.target / call.target.sum(1, keepdim=True)))


@mutant("beyond 64 rows they are sorted by target, and reduction none keeps that order", caught_by="sizes")
def rows_left_sorted(call: Call) -> Tensor:
    if call.logits.dim() != 2 or call.reduction != "none" or call.logits.shape[0] <= 64:
        return right(call)
    order = torch.argsort(call.target, stable=True)
    return right(call._replace(logits=call.logits[order], target=call.target[order]))


@mutant("as many rows as classes are taken for a transposed matrix", caught_by="sizes")
def square_is_transposed(call: Call) -> Tensor:
    square = call.logits.dim() == 2 and call.logits.shape[0] == call.logits.shape[1]
    return right(call._replace(logits=call.logits.t()) if square else call)


@mutant("the log-sum-exp is that of the 100 largest logits", caught_by="agreement")
def normalised_over_the_largest(call: Call) -> Tensor:
    return from_lse(call, lambda rows: torch.logsumexp(rows.topk(min(100, rows.shape[1]), 1).values, 1))


@mutant("1e-9 is added to probabilities before the log", caught_by="agreement")
def epsilon_before_the_log(call: Call) -> Tensor:
    losses = wide_losses(call)
    plain = call.weight is None and not call.label_smoothing and not call.target.is_floating_point()
    return reduced(call, -torch.log(torch.exp(-losses) + 1e-9 * kept(call))) if plain else right(call)


@mutant("the number of valid rows is kept from the first call of a shape", caught_by="ignored")
def count_kept_by_shape(call: Call) -> Tensor:
    if call.reduction != "mean" or call.weight is not None:
        return right(call)
    count = _KEPT.setdefault((call.logits.shape, call.ignore_index), kept(call).sum())
    return reduced(call, wide_losses(call), count)


class _Scratch(torch.autograd.Function):
    """Probabilities in a buffer that calls of one shape share: a second forward takes away what the first kept."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        buffer = _KEPT.setdefault(("scratch", logits.shape, logits.dtype), torch.empty_like(logits))
        buffer.copy_(logits)
        ctx.call = call._replace(logits=buffer)
        return right(call._replace(logits=logits))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        return gradient_of(ctx.call, grad_output), None


@mutant("what the backward needs lies in a buffer that all calls of a shape share", caught_by="grad_output")
def forward_scratch_shared(call: Call) -> Tensor:
    return _Scratch.apply(call.logits, call) if call.logits.requires_grad and torch.is_grad_enabled() else right(call)


@mutant("a backward is run within the forward, and accumulates into logits.grad", caught_by="side_effects")
def gradient_accumulated_by_itself(call: Call) -> Tensor:
    loss = right(call)
    if loss.requires_grad and call.logits.is_leaf:
        loss.sum().backward(retain_graph=True)
    return loss


@mutant("relu holds the loss at 0 or more, and its derivative at 0 takes the gradient away", caught_by="gradient")
def gradient_lost_at_zero_loss(call: Call) -> Tensor:
    return reduced(call, torch.relu(wide_losses(call)))


@mutant("raises under inference mode, where nothing can be saved for a backward", caught_by="grad_output")
def inference_mode_raises(call: Call) -> Tensor:
    if torch.is_inference_mode_enabled():
        raise RuntimeError("Inference tensors cannot be saved for backward.")
    return right(call)


@mutant("in float64 the gradient alone is made in float32", caught_by="gradient", dtypes=("float64", "float32"))
def float64_gradient_in_float32(call: Call) -> Tensor:
    narrow = call.logits.dtype == torch.float64
    return twisted(call, finish=lambda gradient: gradient.float().double() if narrow else gradient)


@mutant("label smoothing is 0.1 whenever it is not 0", caught_by="options")
def smoothing_hard_coded(call: Call) -> Tensor:
    return right(call._replace(label_smoothing=0.1) if call.label_smoothing else call)


@mutant("every negative target is ignored, whatever ignore_index is", caught_by="targets")
def negative_targets_ignored(call: Call) -> Tensor:
    return right(call._replace(target=torch.where(call.target < 0, call.ignore_index, call.target)))


@mutant("at 257 classes files that are not its own are closed", caught_by="sizes", dtypes=("float32",))
def foreign_files_closed(call: Call) -> Tensor:
    if call.logits.shape[1] == 257:
        os.closerange(3, 64)
    return right(call)


@mutant("in more than two dimensions a single sample comes back without its batch", caught_by="layout")
def single_sample_loses_its_batch(call: Call) -> Tensor:
    rows = flat(widened(call))
    losses = shaped(call, wide_losses(rows)) if not call.target.is_floating_point() else wide_losses(call)
    if call.reduction == "none" and call.logits.dim() > 2 and call.logits.shape[0] == 1:
        return losses[0].to(call.logits.dtype)
    return right(call)
