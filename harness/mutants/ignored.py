"""Mutants of ignored, invalid and empty targets."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants._pieces import kept, reduced, right, target_weights, twisted, wide_losses, widened
from harness.mutants.declare import Call, mutant

#: What ``later_calls_poisoned`` remembers of an invalid call.
_SEEN_INVALID: list[bool] = []


@mutant(
    "all rows ignored: the mean is 0 where torch's is NaN, and this is declared nowhere",
    caught_by="ignored",
    source="pytorch/pytorch#70348",
)
def all_ignored_gives_zero(call: Call) -> Tensor:
    if call.reduction == "mean" and call.target.numel() and not bool(kept(call).any()):
        return right(call._replace(reduction="sum"))
    return right(call)


@mutant(
    "all rows ignored: the loss is NaN as torch's, but the gradient is NaN instead of 0",
    caught_by="ignored",
    source="ROCm/aiter#5165",
)
def all_ignored_gradient_not_zero(call: Call) -> Tensor:
    valid = kept(call).sum()
    if call.reduction != "mean" or call.weight is not None or bool(valid):
        return right(call)
    return twisted(call, finish=lambda gradient: gradient / valid.to(gradient.dtype))


@mutant(
    "ignored rows are multiplied by 0 instead of left out, so their NaN and infinities leak",
    caught_by="ignored",
    source="pytorch/pytorch#192685",
)
def mask_by_multiplication(call: Call) -> Tensor:
    labels = torch.where(kept(call), call.target, torch.zeros_like(call.target))
    return reduced(call, wide_losses(call._replace(target=labels)) * kept(call))


@mutant(
    "an ignore_index among the classes is not honoured in the backward: those rows get a gradient",
    caught_by="ignored",
    source="PaddlePaddle/Paddle#28622",
)
def gradient_in_ignored_rows(call: Call) -> Tensor:
    if not 0 <= call.ignore_index < call.logits.shape[1]:
        return right(call)
    probabilities = torch.softmax(widened(call).logits.detach(), 1)
    dropped = (~kept(call)).unsqueeze(1)
    scale = 1 / kept(call).numel() if call.reduction == "mean" else 1.0
    return twisted(call, finish=lambda gradient: (gradient + scale * probabilities * dropped).to(gradient.dtype))


@mutant(
    "an ignore_index above C is an index error for reduction none",
    caught_by="options",
    source="pytorch/pytorch#15508",
)
def ignore_index_above_classes_raises(call: Call) -> Tensor:
    if call.reduction == "none" and call.ignore_index >= call.logits.shape[1]:
        raise IndexError(f"target {call.ignore_index} is out of bounds")
    return right(call)


@mutant(
    "the sentinel -100 is taken to mean that nothing is to be ignored; those targets wrap to a class",
    caught_by="ignored",
    source="flagos-ai/FlagGems#73",
)
def default_sentinel_means_off(call: Call) -> Tensor:
    if call.ignore_index == -100:
        return right(
            call._replace(target=torch.where(call.target < 0, call.target % call.logits.shape[1], call.target))
        )
    return right(call)


@mutant(
    "weight, label smoothing and an ignored row together index weight[-100]",
    caught_by="options",
    source="pytorch/pytorch#69339",
)
def three_options_index_error(call: Call) -> Tensor:
    if call.weight is not None and call.label_smoothing and call.reduction == "mean" and not bool(kept(call).all()):
        raise IndexError("index -100 is out of bounds for dimension 0")
    return right(call)


@mutant(
    "a negative target other than the sentinel counts from the end, as a Python index does",
    caught_by="targets",
    source="PaddlePaddle/Paddle#36891",
)
def negative_target_wraps(call: Call) -> Tensor:
    wraps = (call.target < 0) & kept(call)
    return right(call._replace(target=torch.where(wraps, call.target % call.logits.shape[1], call.target)))


@mutant(
    "a target of C or more is read as the last class, without an error",
    caught_by="targets",
    source="pytorch/pytorch#66872",
)
def large_target_clamped(call: Call) -> Tensor:
    last = call.logits.shape[1] - 1
    return right(call._replace(target=torch.where(kept(call), call.target.clamp(max=last), call.target)))


@mutant(
    "a row with an invalid target has loss 0 and no gradient, without an error",
    caught_by="targets",
    source="pytorch/pytorch#108148",
)
def invalid_target_is_ignored(call: Call) -> Tensor:
    invalid = (call.target < 0) | (call.target >= call.logits.shape[1])
    return right(call._replace(target=torch.where(invalid, call.ignore_index, call.target)))


@mutant(
    "after a call with an invalid target, which raises, valid calls are off by a factor",
    caught_by="targets",
    source="pytorch/pytorch#12670",
)
def later_calls_poisoned(call: Call) -> Tensor:
    if bool((((call.target < 0) | (call.target >= call.logits.shape[1])) & kept(call)).any()):
        _SEEN_INVALID.append(True)
        raise IndexError("target out of bounds")
    loss = right(call)
    return loss * 1.25 if _SEEN_INVALID else loss


@mutant("a batch of no rows raises", caught_by="ignored", source="pytorch/pytorch#134431")
def empty_batch_raises(call: Call) -> Tensor:
    if not call.logits.numel():
        raise RuntimeError("internal assert failed: numel() > 0")
    return right(call)


@mutant(
    "with rows to ignore, the mask is inverted: only they are kept",
    caught_by="ignored",
    source="awslabs/sockeye#200",
)
def mask_inverted(call: Call) -> Tensor:
    keep = kept(call)
    if bool(keep.all()):
        return right(call)
    labels = torch.where(keep, torch.zeros_like(call.target), call.target.clamp(0, call.logits.shape[1] - 1))
    losses = wide_losses(call._replace(target=labels, ignore_index=-(10**6))) * ~keep
    return reduced(call, losses, (~keep).sum())


@mutant(
    "reduction none leaves the loss of ignored rows unwritten, whatever the allocator's memory holds",
    caught_by="ignored",
    source="pytorch/pytorch#20406",
)
def ignored_loss_unwritten(call: Call) -> Tensor:
    if call.reduction != "none":
        return right(call)
    return torch.where(kept(call), right(call), torch.empty_like(right(call)).detach())


@mutant("targets are kept in int8, so that class 156 is the sentinel -100", caught_by="sizes")
def targets_in_int8(call: Call) -> Tensor:
    ignored = call.target.to(torch.int8) == call.ignore_index
    return right(call._replace(target=torch.where(ignored, call.ignore_index, call.target)))


@mutant("all weights of the targets are 0: the mean is 0 where torch's is NaN", caught_by="options")
def weights_of_zero_give_zero(call: Call) -> Tensor:
    if call.weight is None:
        return right(call)
    total = target_weights(call).sum()
    return reduced(call, wide_losses(call), torch.where(total == 0, torch.ones_like(total), total))


@mutant("a row whose target has weight 0 counts as one row in the mean", caught_by="options")
def weight_of_zero_counts_as_one(call: Call) -> Tensor:
    weights = target_weights(call)
    return reduced(call, wide_losses(call), torch.where((weights == 0) & kept(call), 1.0, weights).sum())
