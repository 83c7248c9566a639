"""Inputs of mean squared error: logits' regimes, and a target of plain draws or one that nearly cancels."""

from __future__ import annotations

from dataclasses import replace

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense import inputs as dense


def build(case: Case) -> Inputs:
    """The input (N, C, d1, …) of the case's regime and a target of its shape."""
    made = dense.build(case)
    return replace(made, target=dense.dense_target(case, case.target, made.logits))
