"""Inputs of negative log-likelihood: log-probabilities of the logits' regimes, and class indices."""

from __future__ import annotations

from dataclasses import replace

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs, index_target
from harness.inputs.targets import draw_index
from harness.losses.dense import inputs as dense
from harness.losses.kl_div.inputs import log_probabilities


def build(case: Case) -> Inputs:
    """Log-probabilities (N, C, d1, …) and targets (N, d1, …), some of them ignored."""
    made = dense.build(case, transform=log_probabilities)
    index = torch.from_numpy(draw_index(case)).to(made.logits.device)
    weight = None if made.weight is None else made.weight.reshape(-1)
    return replace(made, target=index_target(case, index), weight=weight)
