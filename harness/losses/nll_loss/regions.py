"""Which entries belong to which region: losses, and the gradient on targets.

Off the target and in ignored rows the truth is 0, and whatever else stands there is caught.
"""

from __future__ import annotations

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs


def region_masks(case: Case, inputs: Inputs) -> dict[tuple[str, str], torch.Tensor]:
    """(value, region) → bool mask over the loss, and over the gradient (N, C, d1, …)."""
    shape, target = inputs.logits.shape, inputs.target.cpu()
    place = torch.arange(shape[1]).view(1, shape[1], *(1 for _ in shape[2:]))
    kept = (target != case.ignore_index).unsqueeze(1)
    of_loss = tuple(target.shape) if case.reduction == "none" else ()
    return {
        ("loss", "loss"): torch.ones(of_loss, dtype=torch.bool),
        ("grad_logits", "target"): (place == target.unsqueeze(1)) & kept,
    }
