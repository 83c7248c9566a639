"""Experiments on a candidate beyond one call: actions that may raise, and the verdict on whatever came of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch

from harness.checks.agreement import form_fault
from harness.checks.evidence import Answer, Evidence, Refusal, mask_verdict, verdict_of
from harness.checks.gradient import gradient_fault
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs

T = TypeVar("T")


def attempt(action: Callable[[], T]) -> T | Refusal:
    """The result of ``action``, or why it raised; a candidate may raise anything, SystemExit included."""
    try:
        return action()
    except BaseException as error:  # strangers' code
        lines = str(error).strip().splitlines()
        kind = type(error).__name__
        memory = isinstance(error, MemoryError | torch.OutOfMemoryError)
        status = Status.OUT_OF_MEMORY if memory else Status.RAISED
        return Refusal(status=status, reason=f"{kind}: {lines[0] if lines else ''}"[:400], error=kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One check's experiments on one cell: makes the verdicts, each under a variant's name."""

    evidence: Evidence
    check: str

    def plain(self, **details: Any) -> Verdict:
        """The verdict on the cell's own answer. Where it fails, experiments around it would tell nothing more."""
        evidence = self.evidence
        verdict = self.answered("", evidence.case, evidence.inputs, evidence.answer)
        return replace(verdict, details={**verdict.details, **details}) if details else verdict

    def answered(
        self,
        variant: str,
        case: Case,
        inputs: Inputs,
        answer: Answer | Refusal,
        *,
        wanted: tuple[str, ...] = ("logits",),
    ) -> Verdict:
        """The verdict on ``answer``, from which the gradients ``wanted`` must not be missing; declared if excused."""
        if isinstance(answer, Refusal):
            return self.refused(variant, answer)
        verdict = self._of_answer(variant, case, inputs, answer, wanted)
        if verdict.status is not Status.FAILED:
            return verdict
        # a defect that is declared for the cell checks has no variant there
        named = (self.evidence.excuse(v, case, inputs, answer) for v in (verdict, replace(verdict, variant="")))
        excuse = next((reason for reason in named if reason is not None), None)
        return verdict if excuse is None else replace(verdict, status=Status.DECLARED, reason=excuse)

    def called(self, variant: str, case: Case, inputs: Inputs) -> Verdict:
        """The verdict on one ordinary call with ``inputs``."""
        pristine = inputs.copied()
        return self.answered(variant, case, pristine, self.evidence.call(case, inputs))

    def failed(self, variant: str, reason: str, region: str = "form") -> Verdict:
        """A failed verdict with ``reason``, or a declared one."""
        verdict = self._verdict(variant, Status.FAILED, reason, region=region)
        # as a matter of form: what is declared of values excuses nothing here
        excuse = self.evidence.excuse(replace(verdict, region="form"), self.evidence.case, self.evidence.inputs, None)
        return verdict if excuse is None else replace(verdict, status=Status.DECLARED, reason=excuse)

    def passed(self, variant: str, **details: Any) -> Verdict:
        """A passed verdict; ``details`` are observations that are nobody's fault."""
        return self._verdict(variant, Status.PASSED, "", details=details)

    def unsupported(self, variant: str, reason: str) -> Verdict:
        """A feature that the candidate refuses with an error, which is honest."""
        return self._verdict(variant, Status.UNSUPPORTED, reason)

    def refused(self, variant: str, refusal: Refusal) -> Verdict:
        """The candidate raised where it had no business to (or has not the option that was needed)."""
        return self._verdict(variant, refusal.status, refusal.reason)

    def _of_answer(self, variant: str, case: Case, inputs: Inputs, answer: Answer, wanted: tuple[str, ...]) -> Verdict:
        fault = _fault(replace(self.evidence, case=case, inputs=inputs, answer=answer), wanted)
        if fault is not None:
            return self._verdict(variant, Status.FAILED, fault, region="form")
        evaluation = self.evidence.evaluate(case, inputs, answer)
        regions = list(evaluation.regions)
        masks = mask_verdict(self.evidence, self.check, regions, variant)
        return masks or verdict_of(self.evidence, self.check, regions, variant)

    def _verdict(
        self, variant: str, status: Status, reason: str, *, region: str = "", details: Mapping[str, Any] | None = None
    ) -> Verdict:
        seed = self.evidence.case.seed
        return Verdict(
            check=self.check,
            variant=variant,
            status=status,
            reason=reason,
            region=region,
            seed=seed,
            details=details or {},
        )


def _fault(evidence: Evidence, wanted: tuple[str, ...]) -> str | None:
    """Why an answer is none at all: the loss has another form, or a gradient that was asked for is missing."""
    wrong = form_fault(evidence)
    if wrong is not None or not evidence.case.needs_gradient:
        return wrong
    return gradient_fault(evidence, wanted)


def gradients_of(loss: Any, of: Mapping[str, torch.Tensor], grad_output: torch.Tensor, **options: bool) -> Answer:
    """``loss`` detached, with its gradients by the named tensors ``of``; those that are disconnected are left out.

    Raises:
        Exception: whatever the candidate's backward raises.
    """
    if not isinstance(loss, torch.Tensor) or not loss.requires_grad or grad_output.shape != loss.shape:
        return Answer(loss=loss.detach() if isinstance(loss, torch.Tensor) else loss, gradients={})
    upstream = grad_output if grad_output.dtype == loss.dtype else grad_output.to(loss.dtype)
    found = torch.autograd.grad(loss, tuple(of.values()), upstream, allow_unused=True, **options)
    gradients = {name: gradient for name, gradient in zip(of, found, strict=True) if gradient is not None}
    return Answer(loss=loss.detach(), gradients=gradients, requires_grad=True)


def leaf(tensor: torch.Tensor) -> torch.Tensor:
    """``tensor`` as a leaf that requires a gradient; the same memory, strides and offset."""
    return tensor.detach().requires_grad_()
