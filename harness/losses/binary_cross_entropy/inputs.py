"""Inputs of binary cross-entropy: probabilities, the logistic function of the logits' regimes, and labels.

Confident regimes come near 0 and 1, ``wide`` and ``edge`` reach them, where the clamp of the logarithm shows.
"""

from __future__ import annotations

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense import inputs as dense


def build(case: Case) -> Inputs:
    """Probabilities (N, C, d1, …) and labels of their shape: 0 and 1, or soft ones."""
    target = dense.dense_target(case, "binary" if case.target == "binary" else "uniform")
    return dense.build(case, transform=torch.sigmoid, target=target)
