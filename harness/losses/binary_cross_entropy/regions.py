"""Which entries belong to which region: labels of either kind, and probabilities near 0 and 1."""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.regions import Regions, of_labels

#: Probabilities nearer to 0 or 1 are saturated.
NEAR = 1e-3


def region_masks(case: Case, inputs: Inputs) -> Regions:
    """(value, region) → bool mask over result and gradients."""
    p = inputs.logits
    return of_labels(case, inputs, (p < NEAR) | (p > 1.0 - NEAR))
