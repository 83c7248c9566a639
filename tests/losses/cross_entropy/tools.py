"""What the tests of this family share: calling torch, hand-made inputs, and the A8 families with their options."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.inputs.build import build_inputs
from harness.inputs.catalogue import REGIMES, refusal

REGIME_NAMES = tuple(name for name in REGIMES if name != "captured")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandMade:
    """Inputs written out in a test."""

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    grad_output: torch.Tensor


def by_hand(x, values, dtype=torch.float32, **options):
    """A case and its inputs from lists of logits (N, C) and targets."""
    logits = torch.tensor(x, dtype=dtype)
    weight = options.pop("weight_values", None)
    case = Case(batch=len(x), classes=logits.shape[1], dtype=str(dtype).removeprefix("torch."), **options)
    grad = torch.ones((len(x),) if case.reduction == "none" else (), dtype=dtype)
    target = torch.tensor(values)
    target = target.to(dtype) if target.is_floating_point() else target
    weight = None if weight is None else torch.tensor(weight, dtype=dtype)
    return case, HandMade(logits=logits, target=target, weight=weight, grad_output=grad)


def made(**axes):
    """A case and its inputs, or None where the combination has no meaning."""
    case = Case(**axes)
    return None if refusal(case) else (case, build_inputs(case))


def call(function, case, inputs, *, leaves=("logits", "target", "weight")):
    """Loss and gradients of a drop-in for F.cross_entropy; of target and weight with probability targets only."""
    x = inputs.logits.clone().requires_grad_()
    target, weight, wanted = inputs.target, inputs.weight, {"logits": x}
    options = {"reduction": case.reduction, "label_smoothing": case.label_smoothing}
    if target.is_floating_point():
        if "target" in leaves:
            wanted["target"] = target = target.clone().requires_grad_()
        if weight is not None and "weight" in leaves:
            wanted["weight"] = weight = weight.clone().requires_grad_()
    else:
        options["ignore_index"] = case.ignore_index
    loss = function(x, target, weight=weight, **options)
    gradients = torch.autograd.grad(loss, list(wanted.values()), grad_outputs=inputs.grad_output)
    return loss.detach(), dict(zip(wanted, gradients, strict=True))


def torch_answer(case, inputs, **kwargs):
    """What F.cross_entropy answers."""
    return call(F.cross_entropy, case, inputs, **kwargs)


def told(evaluation):
    """A readable summary for assertion messages."""
    return [
        (r.value, r.region, r.mismatches, {g: round(w.ratio, 3) for g, w in r.worst.items()})
        for r in evaluation.regions
    ]
