"""Trials: further questions that a check asks of a candidate, each judged as a cell is, gathered into one verdict."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from harness.checks.agreement import form_fault
from harness.checks.evidence import Evidence, Refusal, mask_verdict, verdict_of
from harness.checks.gradient import gradient_fault
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import family_of
from harness.losses.inputs import build_inputs
from harness.numerics.evaluation import RegionReport
from harness.numerics.same import changed_names

#: A sweep ends once this many of its trials have failed: more would only say the same.
ENOUGH_FAULTS = 3
#: Seconds that a sweep may take under ``--thorough``; a call may be silent for twice as long.
THOROUGH_SECONDS = 60.0

#: The region of a verdict on what a call did to its inputs.
INPUTS = "inputs"

Change = Callable[[Any], Any]


def attempt(evidence: Evidence, case: Case, inputs: Any) -> Evidence | Refusal:
    """The evidence of one more call, on ``case`` and ``inputs``; a refusal where it gave no answer.

    The answer is compared with the truth of the inputs as they were before the call.
    """
    pristine = inputs.copied()
    answer = evidence.call(case, inputs)
    if isinstance(answer, Refusal):
        return replace(answer, inputs=pristine)
    evaluation = evidence.evaluate(case, pristine, answer)
    written = changed_names(inputs.tensors(), pristine.tensors())
    return replace(evidence, case=case, inputs=pristine, answer=answer, evaluation=evaluation, written=written)


def fault(evidence: Evidence, check: str, variant: str = "", wanted: Sequence[str] = ()) -> Verdict | None:
    """What is wrong with one answer, or None: form, then NaN and inf, then budgets, then inputs written into.

    The gradients that must be there are those ``wanted``, or all that the loss is trained by.
    """
    case, seed = evidence.case, evidence.case.seed
    wrong = form_fault(evidence) or _dtype_fault(evidence) or _gradient_fault(evidence, wanted)
    if wrong is not None:
        return Verdict(
            check=check, variant=variant, status=Status.FAILED, reason=wrong, region="form", seed=seed,
            details={"value": "loss"},
        )  # fmt: skip
    regions = list(evidence.evaluation.regions)
    masks = mask_verdict(evidence, check, regions, variant)
    if masks is not None:
        return masks
    verdict = verdict_of(evidence, check, [region for region in regions if region.value == "loss"], variant)
    if verdict.status is not Status.FAILED and case.needs_gradient:
        verdict = verdict_of(evidence, check, [region for region in regions if region.value != "loss"], variant)
    return verdict if verdict.status is Status.FAILED else _written_fault(evidence, check, variant)


def _written_fault(evidence: Evidence, check: str, variant: str) -> Verdict | None:
    """A path that only some sizes, layouts or options take may be the one that writes into what it was given."""
    if not evidence.written:
        return None
    return written_verdict(check, variant, evidence.written, evidence.case.seed)


def written_verdict(check: str, variant: str, names: Sequence[str], seed: int) -> Verdict:
    """The failed verdict on a call that wrote into its inputs ``names``."""
    reason = f"the call changed the caller's {' and '.join(names)}"
    return Verdict(check=check, variant=variant, status=Status.FAILED, reason=reason, region=INPUTS, seed=seed)


def _dtype_fault(evidence: Evidence) -> str | None:
    found, logits = evidence.answer.loss.dtype, evidence.inputs.logits.dtype
    told = f"the loss is {found} for {logits} logits; the specification gives {logits}".replace("torch.", "")
    return None if found == logits else told


def _gradient_fault(evidence: Evidence, wanted: Sequence[str]) -> str | None:
    case, answer = evidence.case, evidence.answer
    if not case.needs_gradient:
        return None
    if not answer.requires_grad:
        return "the loss does not require grad although the logits do"
    return gradient_fault(evidence, wanted)


class Sweep:
    """Asks trial after trial and gathers them: how many were right, the first that was not, and what was left out.

    ``seconds`` is the time after which :meth:`over` tells a check to stop; ``least`` trials are made in any case, so
    that a slow implementation is not let off. Trials that the candidate does not support are passed over.
    """

    def __init__(self, evidence: Evidence, check: str, *, seconds: float, least: int = 4) -> None:
        self._evidence, self._check = evidence, check
        self._least, self._until = least, time.monotonic() + seconds
        self._faults: list[Verdict] = []
        self._excuses: list[str] = []
        self._right = 0
        self._worst: RegionReport | None = None
        self._unsupported = ""
        self._asked = 0
        self._cut = False

    def over(self) -> bool:
        """Whether to ask no more: the time is up, or enough has failed."""
        self._cut = time.monotonic() >= self._until and self._asked >= self._least
        return self._cut or len(self._faults) >= ENOUGH_FAULTS

    def ask(self, name: str, case: Case, change: Change | None = None) -> Evidence | Refusal | None:
        """One trial, ``name`` in the verdict, on the inputs of ``case`` (changed); None when the sweep is over."""
        if self.over():
            return None
        inputs = build_inputs(case)
        return self.judge(name, attempt(self._evidence, case, inputs if change is None else change(inputs)), case)

    def judge(self, name: str, found: Evidence | Refusal, case: Case) -> Evidence | Refusal:
        """Take one trial's outcome into account."""
        if isinstance(found, Refusal):
            self._refused(name, found, case)
            return found
        self._asked += 1
        wrong = fault(found, self._check)
        if wrong is None:
            self._right += 1
            self._keep_worst(found)
        else:
            self.blame(name, wrong, found)
        return found

    def blame(self, name: str, wrong: Verdict, found: Evidence) -> None:
        """A failed verdict on one trial counts, unless there is a declared reason for it."""
        excuse = self._evidence.excuse(wrong, found.case, found.inputs, found.answer)
        if excuse is not None:
            self._excuses.append(f"{name}: {excuse}")
        else:
            self._faults.append(replace(wrong, reason=f"{name}: {wrong.reason} [{found.case.cell}]"))

    def verdict(self, planned: int | None = None) -> Verdict:
        """The one verdict over all trials; ``planned`` is how many there would have been without a limit of time."""
        details: dict[str, Any] = {"trials": self._asked}
        if self._cut and planned is not None and planned > self._asked:
            details["trials_planned"] = planned
        seed = self._evidence.case.seed
        if self._faults:
            first = self._faults[0]
            more = f"; {len(self._faults)} of {self._asked} trials were wrong" if self._asked > 1 else ""
            return replace(first, reason=first.reason + more, details={**first.details, **details}, seed=seed)
        if self._excuses:
            return Verdict(
                check=self._check, status=Status.DECLARED, reason=self._excuses[0], seed=seed,
                details={**details, "declared_trials": len(self._excuses)},
            )  # fmt: skip
        if not self._right:
            reason = self._unsupported or "no trial of this check applies"
            status = Status.UNSUPPORTED if self._unsupported else Status.SKIPPED
            return Verdict(check=self._check, status=status, reason=reason, seed=seed)
        return Verdict(check=self._check, status=Status.PASSED, details=details, seed=seed, **self._figures())

    def _refused(self, name: str, refusal: Refusal, case: Case) -> None:
        if refusal.status is Status.UNSUPPORTED:
            self._unsupported = self._unsupported or refusal.reason
            return
        self._asked += 1
        raised = Verdict(check=self._check, status=refusal.status, reason=refusal.reason, seed=case.seed)
        excuse = self._evidence.excuse(raised, case, refusal.inputs, None)
        if excuse is not None:
            self._excuses.append(f"{name}: {excuse}")
        else:
            self._faults.append(replace(raised, reason=f"{name}: {raised.reason} [{case.cell}]"))

    def _keep_worst(self, found: Evidence) -> None:
        grade = self._evidence.grade
        compared = [region for region in found.evaluation.regions if region.entries]
        known = [] if self._worst is None else [self._worst]
        self._worst = max((*known, *compared), key=lambda region: region.worst[grade].ratio, default=None)

    def _figures(self) -> dict[str, Any]:
        """Those of the trial whose error came nearest to its budget."""
        if self._worst is None:
            return {}
        figures = self._worst.worst[self._evidence.grade]
        return {
            "region": self._worst.region, "error": figures.error, "budget": figures.budget, "ratio": figures.ratio,
            "ulp_error": self._worst.ulp_error, "index": tuple(figures.index),
        }  # fmt: skip


def sweep_seconds(evidence: Evidence, quick: float) -> float:
    """The time that a sweep may take: ``quick``, or more where the cell says ``sweep=all``."""
    return THOROUGH_SECONDS if thorough(evidence.case) else quick


def thorough(case: Case) -> bool:
    """Whether a check's own cell asks for everything rather than a sample."""
    return ("sweep", "all") in case.options


def bare(case: Case) -> Case:
    """``case`` without the marks that only its check reads."""
    family = family_of(case.loss)
    return replace(case, options=tuple((name, value) for name, value in case.options if family.axis(name)))
