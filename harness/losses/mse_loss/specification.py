"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import Inputs


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.mse_loss`` of ``logits`` with the target and reduction of ``case``."""
    return F.mse_loss(logits, inputs.target, reduction=case.reduction)
