"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import Inputs


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.binary_cross_entropy`` of probabilities ``logits`` with the labels, weights and reduction of ``case``."""
    return F.binary_cross_entropy(logits, inputs.target, weight=inputs.weight, reduction=case.reduction)
