"""Compares an answer with the truth, entry by entry, and gives the truth itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.entries import Truth
from harness.losses.dense.pointwise import allowed_losses as allowed_of
from harness.losses.dense.pointwise import judge, true_answer
from harness.losses.mse_loss.formula import formula
from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import Array


def evaluate(
    case: Case, inputs: Inputs, loss: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Judge ``loss`` and ``gradients`` (of ``logits`` and ``target``) of one case by grade."""
    return judge(case, inputs, loss, gradients, formula, rounding_ulps=rounding_ulps)


def truth(case: Case, inputs: Inputs) -> Truth:
    """The oracle's answer, each value rounded once to the case's dtype."""
    return true_answer(case, inputs, formula, ("logits", "target"))


def allowed_losses(case: Case, inputs: Inputs, *, rounding_ulps: float = 0.5) -> Array:
    """What ``standard`` allows of each entry of the result, flat float64."""
    return allowed_of(case, inputs, formula, rounding_ulps=rounding_ulps)
