"""Which entries of a linear cross-entropy answer belong to which region, as the evaluation reports them."""

from __future__ import annotations

from typing import Any

import torch

from harness.core.case import Case


def region_masks(case: Case, inputs: Any) -> dict[tuple[str, str], torch.Tensor]:
    """(value, region) → bool mask over the value: loss, gradient of hidden states (N, H), of weight and bias (C, …).

    The classes that a kept row has as its target are the region ``target`` of weight and bias, the rest ``other``.
    """
    hidden, weight = inputs.logits, inputs.others["linear_weight"]
    probability = inputs.target.is_floating_point()
    kept = torch.ones(hidden.shape[0], dtype=torch.bool)
    own = torch.zeros(weight.shape[0], dtype=torch.bool)
    if not probability:
        target = inputs.target.cpu()
        kept = target != case.ignore_index
        own[target[kept]] = True
    masks = {
        ("loss", "loss"): torch.ones((case.batch,) if case.reduction == "none" else (), dtype=torch.bool),
        ("grad_input", "kept"): kept.unsqueeze(1).expand(hidden.shape),
    }
    parts = {"probability": torch.ones_like(own)} if probability else {"target": own, "other": ~own}
    for region, classes in parts.items():
        masks["grad_linear_weight", region] = classes.unsqueeze(1).expand(weight.shape)
        if "linear_bias" in inputs.others:
            masks["grad_linear_bias", region] = classes
    return masks
