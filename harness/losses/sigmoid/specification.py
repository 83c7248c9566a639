"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``torch.sigmoid`` of ``logits``."""
    return torch.sigmoid(logits)
