"""What torch itself does with the inputs of a case."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import Inputs


def specified(case: Case, inputs: Inputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.kl_div`` of log-probabilities ``logits`` with the distribution and options of ``case``."""
    log_target = bool(dict(case.options).get("log_target", False))
    return F.kl_div(logits, inputs.target, reduction=case.reduction, log_target=log_target)
