"""Which entries belong to which region: small differences, which cancellation eats, and the others."""

from __future__ import annotations

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.regions import Regions, region_masks_of

#: A difference is small beside the larger of its two numbers.
SMALL = 2.0**-3


def region_masks(case: Case, inputs: Inputs) -> Regions:
    """(value, region) → bool mask over result and gradients."""
    x, t = inputs.logits, inputs.target
    small = (x - t).abs() < SMALL * torch.maximum(x.abs(), t.abs())
    return region_masks_of(case, inputs, {"small": small, "large": ~small}, gradients=("logits", "target"))
