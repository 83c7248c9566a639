"""Which entries of a dense loss belong to which region, so that what a suite sees of each can be measured.

Regions are where an implementation goes wrong by itself: the tails of a sigmoid, labels of one kind, small differences.
They need not cover an answer, and may overlap. ``regions.py`` of a family names them.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.along import dim_of

Regions = dict[tuple[str, str], torch.Tensor]


def region_masks_of(
    case: Case, inputs: Inputs, parts: Mapping[str, torch.Tensor], *, gradients: tuple[str, ...] = ("logits",)
) -> Regions:
    """(value, region) → bool mask: ``parts``, shaped like the first tensor, of the result and of each gradient.

    A reduced result is one region, ``loss``.
    """
    found: Regions = {}
    if case.reduction != "none":
        found["loss", "loss"] = torch.ones((), dtype=torch.bool)
    for name, mask in parts.items():
        if case.reduction == "none":
            found["loss", name] = mask.cpu()
        for gradient in gradients:
            found[f"grad_{gradient}", name] = mask.cpu()
    return found


def along_rows(case: Case, inputs: Inputs) -> Regions:
    """Regions of softmax and log-softmax: the largest entry of each row, and the others."""
    x = inputs.logits
    dim = dim_of(case)
    largest = x == x.amax(dim, keepdim=True)
    return region_masks_of(case, inputs, {"largest": largest, "other": ~largest})


def of_labels(case: Case, inputs: Inputs, saturated: torch.Tensor) -> Regions:
    """Regions of binary losses: entries by the likelier label, and ``saturated`` ones whatever the label."""
    positive = inputs.target >= 0.5
    parts = {"positive": positive, "negative": ~positive, "saturated": saturated}
    whole = torch.ones(inputs.logits.shape, dtype=torch.bool)
    return {**region_masks_of(case, inputs, parts), ("grad_target", "label"): whole}
