"""Which checks the calls of a timed cell are held to afterwards: those passed, where nothing is declared."""

from __future__ import annotations

from dataclasses import replace

from harness.core.case import Case
from harness.core.expectation import parse_expectation
from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.runner.half_job import held_checks
from tests.conftest import plan_of

CASE = Case(batch=8, classes=5, dtype="bfloat16")
ROUNDED = parse_expectation("agreement[dtype=bfloat16,region=loss]", "the sum is rounded as it grows")


def implementation(name: str) -> Implementation:
    return Implementation(name=name, loss="cross_entropy", reference=f"m:{name}")


def held(statuses: dict[str, Status], *, own: Implementation | None = None, torch: Implementation | None = None):
    mine = own or implementation("mine")
    plan = plan_of([CASE], [mine])
    if torch is not None:
        plan = replace(plan, torch={CASE.loss: torch})
    judged = [
        Outcome(case=CASE, implementation=mine.name, kind=JUDGED, check=check, status=status)
        for check, status in statuses.items()
    ]
    return held_checks(plan, CASE, mine, judged)


def test_what_was_passed_is_held() -> None:
    statuses = {"agreement": Status.PASSED, "gradient": Status.DECLARED, "stability": Status.PASSED}
    assert held(statuses) == ["agreement", "stability"]


def test_nan_is_with_the_other_checks_where_stability_was_not_asked() -> None:
    assert held({"agreement": Status.PASSED}) == ["agreement", "stability"]
    assert held({"agreement": Status.PASSED, "stability": Status.DECLARED}) == ["agreement"]


def test_what_is_declared_of_some_region_is_not_held_whoever_declares_it() -> None:
    passed = {"agreement": Status.PASSED, "gradient": Status.PASSED, "stability": Status.PASSED}
    declaring = replace(implementation("mine"), expect=(ROUNDED,))
    assert held(passed, own=declaring) == ["gradient", "stability"]
    assert held(passed, torch=replace(implementation("torch"), expect=(ROUNDED,))) == ["gradient", "stability"]
    other = parse_expectation("agreement[dtype=float16]", "elsewhere")
    assert held(passed, own=replace(declaring, expect=(other,))) == ["agreement", "gradient", "stability"]
