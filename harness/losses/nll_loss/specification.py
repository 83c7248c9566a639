"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import Inputs


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.nll_loss`` of log-probabilities ``logits`` with the target, weight and options of ``case``."""
    return F.nll_loss(
        logits, inputs.target, weight=inputs.weight, ignore_index=case.ignore_index, reduction=case.reduction
    )
