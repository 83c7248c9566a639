"""``agreement``: the loss is what the oracle says, within its rounding budget, in torch's own shape and dtype."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from harness.checks.evidence import Evidence, mask_verdict, verdict_of
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import family_of


def agreement(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the loss; a second one, variant ``dtype``, when its dtype is not the logits'."""
    wrong = form_fault(evidence)
    if wrong is not None:
        yield Verdict(check="agreement", status=Status.FAILED, reason=wrong, region="form", seed=evidence.case.seed)
        return
    regions = [region for region in evidence.evaluation.regions if region.value == "loss"]
    masks = None if evidence.owns_masks else mask_verdict(evidence, "agreement", regions)
    yield masks or verdict_of(evidence, "agreement", regions)
    loss, logits = evidence.answer.loss, evidence.inputs.logits
    if loss.dtype != logits.dtype:
        yield Verdict(
            check="agreement", variant="dtype", status=Status.FAILED, region="form", seed=evidence.case.seed,
            reason=f"the loss is {_name(loss.dtype)}; torch gives {_name(logits.dtype)}, the dtype of the logits",
        )  # fmt: skip


def form_fault(evidence: Evidence) -> str | None:
    """Why the returned object is no loss of this case at all, else None."""
    loss, case = evidence.answer.loss, evidence.case
    if not isinstance(loss, torch.Tensor):
        return f"returned {type(loss).__name__}, not a tensor"
    expected = family_of(case.loss).output(case)
    if tuple(loss.shape) != expected:
        return f"the loss has shape {tuple(loss.shape)}, torch gives {expected} for reduction={case.reduction}"
    if not loss.dtype.is_floating_point:
        return f"the loss is {_name(loss.dtype)}, not a floating-point tensor"
    return None


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
