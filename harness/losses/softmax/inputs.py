"""Inputs of softmax: the logits' regimes."""

from __future__ import annotations

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense import inputs as dense


def build(case: Case) -> Inputs:
    """The input (N, C, d1, …) of the case's regime."""
    return dense.build(case)
