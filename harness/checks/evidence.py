"""What a check gets to look at: one case, an implementation's answer to it, and the oracle's evaluation of that."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.numerics.evaluation import Evaluation, RegionReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a candidate returned: the loss as it came, and gradients by the name of their input ('logits', …).

    ``requires_grad`` is whether the loss did when it came back (``loss`` itself is detached).
    """

    loss: Any
    gradients: Mapping[str, torch.Tensor]
    requires_grad: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call gave no answer: ``status`` unsupported, raised or out_of_memory; ``error`` the exception's type.

    ``inputs`` are those of the call where they are known: torch may raise on them too.
    """

    status: Status
    reason: str
    error: str = ""
    inputs: Any = None


def _not_given(*_: Any) -> Any:
    raise NotImplementedError("this evidence was made without a way to call the candidate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One answer under judgement.

    ``again`` runs the candidate once more, on another case or changed inputs, and evaluates that answer (None where
    the candidate does not support it). ``owns_masks`` is whether a check named ``stability`` also runs: only then are
    NaN and infinities its matter alone.

    For checks that ask more than one question of a cell: ``call`` runs the candidate on any case and inputs and never
    raises; ``evaluate`` compares an answer with the oracle; ``excuse`` gives the declared reason, if there is one, why
    a failed verdict on such a call is none (the candidate's own, or torch's where the answer is torch's bit for bit).
    :mod:`harness.checks.trial` puts the three together. ``function`` binds the options of a case and gives the
    candidate as a plain callable of (logits, target), for checks that are about the call itself; it may raise anything.
    ``disturbed`` names the settings of the process that earlier calls left changed, and ``written`` the inputs that the
    call to which this is the answer wrote into.
    """

    case: Case
    inputs: Any
    answer: Answer
    evaluation: Evaluation
    grade: str
    owns_masks: bool
    again: Callable[[Case, Callable[[Any], Any]], Evaluation | None]
    call: Callable[[Case, Any], Answer | Refusal] = _not_given
    evaluate: Callable[[Case, Any, Answer], Evaluation] = _not_given
    excuse: Callable[[Verdict, Case, Any, Answer | None], str | None] = _not_given
    function: Callable[[Case, Any], Callable[[Any, Any], Any]] = _not_given
    disturbed: Callable[[], Sequence[str]] = tuple
    written: Sequence[str] = ()


def verdict_of(evidence: Evidence, check: str, regions: list[RegionReport], variant: str = "") -> Verdict:
    """The verdict over ``regions``: failed when the worst ratio under the required grade is above 1."""
    compared = [region for region in regions if region.entries]
    if not compared:
        return Verdict(
            check=check, variant=variant, status=Status.SKIPPED, seed=evidence.case.seed,
            reason="no entry is finite both in the answer and in truth; see stability",
        )  # fmt: skip
    worst = max(compared, key=lambda region: region.worst[evidence.grade].ratio)
    figures = worst.worst[evidence.grade]
    failed = not figures.ratio <= 1
    reason = ""
    if failed:
        reason = (
            f"{worst.value}[{worst.region}] off by {figures.error:.3g} at {figures.index}, budget {figures.budget:.3g} "
            f"({figures.ratio:.3g}×); found {figures.found:.9g}, truth {figures.expected:.9g}; "
            f"{figures.violations} of {worst.entries} entries over budget"
        )
    return Verdict(
        check=check,
        variant=variant,
        status=Status.FAILED if failed else Status.PASSED,
        reason=reason,
        region=worst.region,
        error=figures.error,
        budget=figures.budget,
        ratio=figures.ratio,
        ulp_error=max(region.ulp_error for region in compared),
        index=tuple(figures.index),
        grade=earned_grade(compared),
        seed=evidence.case.seed,
        details={"value": worst.value, "expected": figures.expected, "found": figures.found} if failed else {},
    )


def earned_grade(regions: list[RegionReport]) -> str | None:
    """The strictest grade whose budgets hold in every region; None when not even the loosest does."""
    from harness.numerics.evaluation import GRADES

    for grade in GRADES:
        if all(region.worst[grade].ratio <= 1 for region in regions):
            return grade
    return None


def mask_verdict(evidence: Evidence, check: str, regions: list[RegionReport], variant: str = "") -> Verdict | None:
    """A failed verdict when NaN or infinities differ from the truth's, else None."""
    wrong = [region for region in regions if region.mismatches]
    if not wrong:
        return None
    worst = max(wrong, key=lambda region: region.mismatches)
    first = worst.first_mismatch
    assert first is not None
    total = sum(region.mismatches for region in wrong)
    return Verdict(
        check=check,
        variant=variant,
        status=Status.FAILED,
        reason=(
            f"{worst.value}[{worst.region}] is {first.found} where the truth is {first.expected:.9g}, "
            f"at {tuple(first.index)}; "
            f"{total} such entries"
        ),
        region=worst.region,
        index=tuple(first.index),
        seed=evidence.case.seed,
        details={"value": worst.value, "expected": first.expected, "found": first.found},
    )
