"""Which entries belong to which region: classes that the target holds likely, and the others.

Where the target's probability is 0 the truth is 0, and whatever else stands there is caught.
"""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.regions import Regions, region_masks_of


def region_masks(case: Case, inputs: Inputs) -> Regions:
    """(value, region) → bool mask over result and gradients; likely is more than an even share of the classes."""
    target = inputs.target
    mass = target.exp() if dict(case.options).get("log_target") else target
    likely = mass * case.classes > 1.0
    return region_masks_of(case, inputs, {"likely": likely, "unlikely": ~likely}, gradients=("logits", "target"))
