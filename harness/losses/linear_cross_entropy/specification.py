"""What torch itself does with the inputs of a case: its documented semantics are the specification."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from harness.core.case import Case


def specified(case: Case, inputs: Any, logits: torch.Tensor) -> torch.Tensor:
    """The linear cross-entropy of ``logits`` (the hidden states) with the tensors and options of ``case``.

    torch documents ``F.linear_cross_entropy`` (from 2.13 on) as equal to these two calls, which every version has.

    Raises:
        Exception: whatever torch raises, which is then what the specification asks for.
    """
    return F.cross_entropy(
        F.linear(logits, inputs.others["linear_weight"], inputs.others.get("linear_bias")), inputs.target,
        weight=inputs.weight, ignore_index=case.ignore_index, reduction=case.reduction,
        label_smoothing=case.label_smoothing,
    )  # fmt: skip
