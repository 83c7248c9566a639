"""Which entries belong to which region: labels of either kind, and large logits."""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.regions import Regions, of_labels

#: Beyond, the probability is nearer than 1e-3 to 0 or 1.
SATURATED = 7.0


def region_masks(case: Case, inputs: Inputs) -> Regions:
    """(value, region) → bool mask over result and gradients."""
    return of_labels(case, inputs, inputs.logits.abs() > SATURATED)
