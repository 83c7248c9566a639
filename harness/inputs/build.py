"""The inputs of a cell, from its seed: logits, target, weight and upstream gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.core.case import INTERPRETER, Case
from harness.core.errors import UsageError
from harness.inputs.capture import load_capture
from harness.inputs.catalogue import CAPTURED, find_regime, refusal
from harness.inputs.layout import allocate, lay_out_index
from harness.inputs.logits import fill_captured, fill_logits, fill_one_hot, fill_probabilities, round_to
from harness.inputs.targets import draw_captured, draw_grad_output, draw_ignored, draw_index, draw_weight

_NAMES = ("logits", "target", "weight", "grad_output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an implementation is called with.

    ``logits`` is the first tensor of the call, whatever its family calls it: of the case's dtype and layout,
    requires_grad False. ``target`` is the last: (N, d1, …) int64, or probabilities or other numbers shaped and typed as
    the logits; None where the family has one tensor only. ``weight`` of the logits' dtype, or None. ``grad_output`` of
    the shape of the result, in the logits' dtype. ``others`` are further tensors by the name that the family gives
    them: arguments between the first and the last, and options other than ``weight`` that are tensors.
    """

    logits: Tensor
    target: Any
    weight: Tensor | None
    grad_output: Tensor
    others: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name."""
        named = {"logits": self.logits, "target": self.target, "weight": self.weight, "grad_output": self.grad_output}
        return {name: tensor for name, tensor in {**named, **self.others}.items() if tensor is not None}

    def changed(self, change: Mapping[str, Tensor]) -> Inputs:
        """These inputs with the tensors that ``change`` names."""
        own = {name: tensor for name, tensor in change.items() if name in _NAMES}
        others = {name: change.get(name, tensor) for name, tensor in self.others.items()}
        return replace(self, **own, others=others)

    def copied(self) -> Inputs:
        """Copies of all tensors but ``grad_output``."""
        return self.changed({name: t.clone() for name, t in self.tensors().items() if name != "grad_output"})


def device_of(case: Case) -> torch.device:
    """The torch device of ``case``; Triton's interpreter works on CPU tensors."""
    return torch.device("cpu" if case.device == INTERPRETER else case.device)


def build_inputs(case: Case) -> Inputs:
    """The inputs of ``case``: the same values on any machine and device.

    Values are drawn in float64 from the case's seed, shape and the one axis that each is about, then rounded to its
    dtype; pass, device and implementation have no part in it. Up to ``streams.BANK_SIZE`` elements every logit has a
    draw of its own; above, rows are windows into a bank of that many.

    Raises:
        UsageError: the combination has no meaning (see :func:`harness.inputs.catalogue.refusal`), or a captured file
            cannot serve it.
    """
    reason = refusal(case)
    if reason is None and case.features:
        reason = f"logits are made for losses of logits; {case.loss} takes features"
    if reason:
        raise UsageError(f"{case.cell}: {reason}")
    device, dtype = device_of(case), getattr(torch, case.dtype)
    try:
        logits, target = _logits_and_target(case, dtype, device)
    except ValueError as error:
        raise UsageError(f"{case.cell}: {error}") from None
    weight = draw_weight(case)
    return Inputs(
        logits=logits,
        target=target,
        weight=None if weight is None else _rounded(weight, dtype, device),
        grad_output=_rounded(draw_grad_output(case), dtype, device),
    )


def _logits_and_target(case: Case, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    shape = (case.batch, case.classes, *case.dims)
    logits = allocate(shape, dtype, device, case.layout)
    captured = load_capture(case.regime) if find_regime(case.regime).name == CAPTURED else None
    picked = draw_captured(case, captured) if captured else None
    index = torch.from_numpy(captured.target[picked] if captured else draw_index(case)).to(device)
    target = allocate(shape, dtype, device, case.layout) if case.target_kind == "probability" else None
    if case.target == "probability" and target is not None:
        index = fill_probabilities(case, target)
    elif target is not None:
        fill_one_hot(index, target)
    largest = fill_captured(case, captured, picked, logits) if captured else fill_logits(case, index, logits)
    if target is None:
        target = index_target(case, index if largest is None else largest)
    return logits, target


def index_target(case: Case, index: Tensor) -> Tensor:
    """``index`` (rows,) with ignore_index written into the ignored rows, as (N, d1, …) in the case's layout."""
    target = index.clone()
    target[torch.from_numpy(draw_ignored(case)).to(index.device)] = case.ignore_index
    return lay_out_index(target.view(case.batch, *case.dims), case.layout, case.classes)


def _rounded(values: np.ndarray, dtype: torch.dtype, device: torch.device) -> Tensor:
    return round_to(torch.from_numpy(values), dtype).to(device)
