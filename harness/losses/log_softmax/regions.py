"""Which entries belong to which region: the largest of each row, and the others."""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.regions import Regions, along_rows


def region_masks(case: Case, inputs: Inputs) -> Regions:
    """(value, region) → bool mask over result and gradient."""
    return along_rows(case, inputs)
