"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.along import dim_of


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.softmax`` of ``logits`` along the case's dimension."""
    return F.softmax(logits, dim=dim_of(case))
