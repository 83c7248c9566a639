"""One that merely wraps torch is not accused of torch's own declared defects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.checks.evidence import Answer
from harness.core.case import Case
from harness.core.implementation import implementation_from_dict
from harness.core.outcome import Verdict
from harness.losses.evaluators import specification
from harness.numerics.same import same_values


def declared_for_torch(
    verdict: Verdict, case: Case, inputs: Any, answer: Answer, job: Mapping[str, Any], also: Sequence[str] = ()
) -> str | None:
    """The reason torch declares for this defect, when the answer is torch's own bit for bit; else None.

    ``also`` names other checks whose declared defects show in this verdict too.
    """
    if job.get("torch") is None:
        return None
    torch_description = implementation_from_dict(job["torch"])
    names = (verdict.check, *also)
    found = (torch_description.declared(name, case, verdict.variant, verdict.region) for name in names)
    declared = next((expectation for expectation in found if expectation is not None), None)
    if declared is None or verdict.variant:
        return None
    return declared.reason if _same_as_torch(verdict, case, inputs, answer) else None


def raised_by_torch(verdict: Verdict, case: Case, inputs: Any, job: Mapping[str, Any]) -> str | None:
    """The reason torch declares for an error, when it raises the very same one on these inputs; else None."""
    if job.get("torch") is None:
        return None
    declared = implementation_from_dict(job["torch"]).declared(verdict.check, case, verdict.variant, verdict.region)
    if declared is None:
        return None
    try:
        _of_torch(case, inputs, gradient=case.needs_gradient)
    except Exception as error:
        said = str(error).splitlines()
        return declared.reason if said and said[0] in verdict.reason else None
    return None


def _of_torch(case: Case, inputs: Any, *, gradient: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """torch's own loss, and its gradient of the logits if asked."""
    logits = inputs.logits.detach().requires_grad_(case.needs_gradient)
    loss = specification(case.loss)(case, inputs, logits)
    made = torch.autograd.grad(loss, logits, inputs.grad_output)[0] if gradient else None
    return loss.detach(), made


def _same_as_torch(verdict: Verdict, case: Case, inputs: Any, answer: Answer) -> bool:
    """Whether what ``verdict`` blames is torch's bit for bit: all of it, or the places of NaN and infinities."""
    on_loss = verdict.check == "agreement" or verdict.details.get("value") == "loss"
    loss, gradient = _of_torch(case, inputs, gradient=case.needs_gradient and not on_loss)
    is_mask = verdict.region != "form" and verdict.ratio is None and "value" in verdict.details
    same = _same_masks if is_mask else same_values
    if gradient is not None:
        found = answer.gradients.get("logits")
        if found is None or not same(found, gradient):
            return False
        if verdict.check == "gradient" or verdict.details.get("value") == "grad_logits":
            return True
    return isinstance(answer.loss, torch.Tensor) and same(answer.loss, loss)


def _same_masks(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether NaN, inf and -inf stand in the same places; their bits are then the same, whatever stands beside them."""
    if one.shape != other.shape:
        return False
    finite = one.isfinite() & other.isfinite()
    return bool((finite | (one == other) | (one.isnan() & other.isnan())).all())
