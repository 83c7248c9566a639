"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import Inputs


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.binary_cross_entropy_with_logits`` of ``logits`` with the labels, weights and reduction of ``case``."""
    return F.binary_cross_entropy_with_logits(
        logits,
        inputs.target,
        weight=inputs.weight,
        reduction=case.reduction,
        pos_weight=inputs.others.get("pos_weight"),
    )
