"""Judges a plain function by one check, in this process: what the worker does, without the worker."""

from collections.abc import Callable, Iterable
from typing import Any

from harness.checks.catalogue import own_cases
from harness.checks.originals import originals
from harness.checks.run import verdicts
from harness.core.case import Case
from harness.core.implementation import Implementation
from harness.core.outcome import Verdict
from harness.core.status import FAULTS
from harness.losses.catalogue import families
from harness.losses.inputs import build_inputs
from harness.registry.load import signature_options
from harness.registry.support import unsupported_reason
from harness.worker.candidate import Candidate, put_back
from harness.worker.trials import evaluate_answer, evidence_of, state_before_calls


def judge(
    target: Callable[..., Any], check: str, *, dtype: str = "float32", keep: Callable[[Case], bool] = lambda case: True,
    grade: str = "standard", loss: str = "cross_entropy", cells: Iterable[Case] | None = None,
) -> list[tuple[Case, Verdict]]:  # fmt: skip
    """The verdicts of ``check`` on its own cells of ``dtype`` that ``keep`` chooses and ``target`` has options for.

    ``cells`` are asked instead, where they are given.
    """
    options, defaults = signature_options(target)
    description = Implementation(name=target.__name__, loss=loss, reference="none", options=options, defaults=defaults)
    candidate = Candidate(description=description, target=target, family=families()[loss])
    originals()
    put_back.cache_clear()
    state_before_calls.cache_clear()
    state_before_calls()
    anchor = Case(loss=loss, batch=2, classes=3, dtype=dtype)
    found = []
    for case in filter(keep, own_cases(check, anchor, False) if cells is None else cells):
        if unsupported_reason(description, case, candidate.family) is not None:
            continue
        inputs = build_inputs(case)
        job = {"grade": grade, "checks": {case.cell: [check]}, "torch": None}
        answer = candidate.answer(case, build_inputs(case))
        evaluation = evaluate_answer(case, inputs, answer)
        evidence = evidence_of(candidate, case, inputs, answer, evaluation, job, lambda message: None)
        found += [(case, verdict) for verdict in verdicts(evidence, [check])]
    return found


def faults(found: list[tuple[Case, Verdict]]) -> dict[str, str]:
    """Variant → reason of the verdicts that went wrong."""
    return {verdict.variant: verdict.reason for _, verdict in found if verdict.status in FAULTS}


def reasons(found: list[tuple[Case, Verdict]]) -> list[str]:
    """Why verdicts without a variant went wrong, in the order of the cells."""
    return [verdict.reason for _, verdict in found if verdict.status in FAULTS and not verdict.variant]


def plain_index(case: Case) -> bool:
    """Whether a function of (logits, target, reduction) can answer ``case``."""
    return case.target_kind == "index" and not case.dims and not case.ignored and case.weight == "none"
