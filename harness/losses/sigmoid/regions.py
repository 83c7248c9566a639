"""Which entries belong to which region: the two tails, and what lies between."""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.regions import Regions, region_masks_of

#: From here on σ, or 1 - σ, is below 2 %: what is left of it is easily lost.
TAIL = 4.0


def region_masks(case: Case, inputs: Inputs) -> Regions:
    """(value, region) → bool mask over result and gradient."""
    x = inputs.logits
    return region_masks_of(case, inputs, {"low": x < -TAIL, "middle": x.abs() <= TAIL, "high": x > TAIL})
