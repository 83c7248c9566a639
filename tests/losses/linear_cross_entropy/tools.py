"""Right and wrong ways to compute linear cross-entropy, and how to ask the oracle about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.losses.linear_cross_entropy.describe import FAMILY
from harness.losses.linear_cross_entropy.evaluate import evaluate
from harness.losses.linear_cross_entropy.inputs import build
from harness.numerics.evaluation import Evaluation

Loss = Callable[..., torch.Tensor]


def case_of(**axes: Any) -> Case:
    """A case of the family, 16×64×257 unless said otherwise."""
    return FAMILY.case(**{"batch": 16, "features": 64, "classes": 257, **axes})


def plain(hidden, linear_weight, target, *, linear_bias=None, **options):
    """The whole product, then F.cross_entropy."""
    return F.cross_entropy(F.linear(hidden, linear_weight, linear_bias), target, **options)


def upcast(hidden, linear_weight, target, *, linear_bias=None, **options):
    """Everything in float32 (float64 stays), rounded once."""
    wide = torch.float64 if hidden.dtype == torch.float64 else torch.float32
    bias = None if linear_bias is None else linear_bias.to(wide)
    return plain(hidden.to(wide), linear_weight.to(wide), target, linear_bias=bias, **options).to(hidden.dtype)


def in_chunks(rows: int) -> Loss:
    """Rows in chunks, their losses added up; sum and mean only."""

    def chunked(hidden, linear_weight, target, *, linear_bias=None, reduction="mean", ignore_index=-100, **options):
        total = sum(
            plain(
                h, linear_weight, t, linear_bias=linear_bias, reduction="sum", ignore_index=ignore_index, **options
            ).float()
            for h, t in zip(hidden.split(rows), target.split(rows), strict=True)
        )
        count = (target != ignore_index).sum() if reduction == "mean" else 1
        return (total / count).to(hidden.dtype)

    return chunked


def answer(case: Case, loss: Loss) -> tuple[Any, torch.Tensor, dict[str, torch.Tensor]]:
    """Inputs, loss and gradients by name."""
    inputs = build(case)
    named = {"logits": inputs.logits, **inputs.others}
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in named.items()}
    result = loss(
        leaves["logits"], leaves["linear_weight"], inputs.target, linear_bias=leaves.get("linear_bias"),
        reduction=case.reduction, ignore_index=case.ignore_index, label_smoothing=case.label_smoothing,
        weight=inputs.weight,
    )  # fmt: skip
    found = torch.autograd.grad(result, tuple(leaves.values()), inputs.grad_output.to(result.dtype))
    return inputs, result.detach(), dict(zip(leaves, found, strict=True))


def judged(case: Case, loss: Loss) -> Evaluation:
    """What the oracle says of ``loss`` on ``case``."""
    inputs, result, gradients = answer(case, loss)
    return evaluate(case, inputs, result, gradients)


def worst(evaluation: Evaluation, grade: str = "standard") -> float:
    """The largest error ÷ budget of all regions; infinite where NaN or infinities differ."""
    if any(region.mismatches for region in evaluation.regions):
        return float("inf")
    return max(region.worst[grade].ratio for region in evaluation.regions)
