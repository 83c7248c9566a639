"""Inputs of the Kullback-Leibler divergence: log-probabilities of the logits' regimes; a distribution, or its log."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.inputs.logits import round_to
from harness.losses.dense import inputs as dense


def build(case: Case) -> Inputs:
    """Log-probabilities (N, C, d1, …) and a distribution over the classes of the same shape."""
    target = dense.dense_target(case, case.target)
    if dict(case.options).get("log_target"):
        target.copy_(round_to(target.to(torch.float64).log(), target.dtype))
    return dense.build(case, transform=log_probabilities, target=target)


def log_probabilities(logits: Tensor) -> Tensor:
    """log-softmax over the classes."""
    return torch.log_softmax(logits, dim=1)
