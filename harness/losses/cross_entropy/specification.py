"""What torch itself does with the inputs of a case: its documented semantics are the specification."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.losses.cross_entropy.problem import CrossEntropyInputs


def specified(case: Case, inputs: CrossEntropyInputs, logits: torch.Tensor) -> torch.Tensor:
    """``F.cross_entropy`` of ``logits`` with the target, weight and options of ``case``.

    Raises:
        Exception: whatever torch raises, which is then what the specification asks for.
    """
    return F.cross_entropy(
        logits, inputs.target, weight=inputs.weight, ignore_index=case.ignore_index, reduction=case.reduction,
        label_smoothing=case.label_smoothing,
    )  # fmt: skip
