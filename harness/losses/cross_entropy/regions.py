"""Which entries of a cross-entropy answer belong to which region, as the evaluation reports them."""

from __future__ import annotations

import torch

from harness.core.case import Case
from harness.losses.cross_entropy.problem import CrossEntropyInputs


def region_masks(case: Case, inputs: CrossEntropyInputs) -> dict[tuple[str, str], torch.Tensor]:
    """(value, region) → bool mask over the value: the loss, and the gradient (N, C, d1, …) by target and other columns.

    Ignored rows are in none: their truth is 0, and whatever else stands there is caught.
    """
    shape, classes = inputs.logits.shape, inputs.logits.shape[1]
    of_loss = (shape[0], *shape[2:]) if case.reduction == "none" else ()
    masks = {("loss", "loss"): torch.ones(of_loss, dtype=torch.bool)}
    if inputs.target.is_floating_point():
        return {**masks, ("grad_logits", "probability"): torch.ones(shape, dtype=torch.bool)}
    target = inputs.target.cpu()
    kept = (target != case.ignore_index).unsqueeze(1)
    place = torch.arange(classes).view(1, classes, *[1] * (len(shape) - 2))
    own = place == target.unsqueeze(1)
    return {**masks, ("grad_logits", "target"): own & kept, ("grad_logits", "other"): ~own & kept}
