"""Inputs of a declared loss: each tensor as its declaration says."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from harness.core.case import Case
from harness.inputs.build import Inputs, index_target
from harness.inputs.targets import draw_index, draw_weight
from harness.losses.catalogue import family_of
from harness.losses.dense import inputs as dense
from harness.losses.kl_div.inputs import log_probabilities
from harness.registry.own import own_losses

_TRANSFORMS = {"logits": None, "log_probabilities": log_probabilities, "probabilities": torch.sigmoid}


def build(case: Case) -> Inputs:
    """The tensors of ``case`` by the names that inputs have them: logits, target, and others between."""
    own = own_losses()[case.loss]
    made = dense.build(replace(case, weight="none"), transform=_TRANSFORMS[own.tensors[0][1]])
    slots = family_of(case.loss).slots
    drawn = {
        slot: _draw(replace(case, seed=case.seed + 1009 * place), kind, made.logits)
        for place, (slot, (_, kind)) in enumerate(zip(slots, own.tensors, strict=True))
        if place
    }
    return replace(made, target=drawn.pop("target", None), others=drawn)


def _draw(case: Case, kind: str, first: Tensor) -> Tensor:
    if kind == "index":
        return index_target(case, torch.from_numpy(draw_index(case)).to(first.device))
    if kind == "per_class":
        values = draw_weight(replace(case, weight="uniform"))
        assert values is not None
        return dense.rounded(case, values)
    return dense.dense_target(case, kind, first)
