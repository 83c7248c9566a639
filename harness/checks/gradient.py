"""``gradient``: each gradient that the loss is trained by is what the oracle says, down to the smallest entry."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.checks.evidence import Evidence, mask_verdict, verdict_of
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import family_of


def gradient(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the gradient; nothing where the pass computes none."""
    case = evidence.case
    if not case.needs_gradient:
        return
    wrong = gradient_fault(evidence)
    if wrong is not None:
        yield Verdict(check="gradient", status=Status.FAILED, reason=wrong, region="form", seed=case.seed)
        return
    regions = [region for region in evidence.evaluation.regions if region.value != "loss"]
    masks = None if evidence.owns_masks else mask_verdict(evidence, "gradient", regions)
    yield masks or verdict_of(evidence, "gradient", regions)


def gradient_fault(evidence: Evidence, wanted: Sequence[str] = ()) -> str | None:
    """Which gradient (of those ``wanted``, or of all that the loss is trained by) is missing or misshapen, or None."""
    family, tensors = family_of(evidence.case.loss), evidence.inputs.tensors()
    names = dict(zip(family.slots, family.arguments, strict=True))
    for name in wanted or family.gradients(evidence.case):
        found, called = evidence.answer.gradients.get(name), names.get(name, name)
        if found is None:
            return (
                f"the loss has no gradient with respect to the {called} (requires_grad is False, or it is disconnected)"
            )
        if found.shape != tensors[name].shape:
            return f"the gradient has shape {tuple(found.shape)}, the {called} {tuple(tensors[name].shape)}"
    return None
