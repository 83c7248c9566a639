"""``gradient``: the gradient of the logits is what the oracle says, region by region, down to the smallest entry."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.evidence import Evidence, mask_verdict, verdict_of
from harness.core.outcome import Verdict
from harness.core.status import Status


def gradient(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the gradient; nothing where the pass computes none."""
    case = evidence.case
    if not case.needs_gradient:
        return
    found = evidence.answer.gradients.get("logits")
    if found is None:
        reason = "the loss has no gradient with respect to the logits (requires_grad is False, or it is disconnected)"
        yield Verdict(check="gradient", status=Status.FAILED, reason=reason, region="form", seed=case.seed)
        return
    if tuple(found.shape) != tuple(evidence.inputs.logits.shape):
        reason = f"the gradient has shape {tuple(found.shape)}, the logits {tuple(evidence.inputs.logits.shape)}"
        yield Verdict(check="gradient", status=Status.FAILED, reason=reason, region="form", seed=case.seed)
        return
    regions = [region for region in evidence.evaluation.regions if region.value != "loss"]
    masks = None if evidence.owns_masks else mask_verdict(evidence, "gradient", regions)
    yield masks or verdict_of(evidence, "gradient", regions)
