"""The selftest: mutants under the checks they name and under a suite, controls under everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import MappingProxyType

from harness.checks.catalogue import CELL_CHECKS, questions
from harness.core.case import DTYPES, Case
from harness.hardware.host import usable_cores
from harness.losses.catalogue import families
from harness.mutants.catalogue import Control, Mutant, controls, mutants
from harness.mutants.results import Findings, Result
from harness.mutants.stand import Trial, cases_on_cpu, make_stand, of_check, of_suite
from harness.runner.blindness import blind_lines, look, sight_lines
from harness.suite.load import load_suite
from harness.suite.model import CHECKS, Suite
from harness.worker.process import Workers

#: The suite whose cells the cell checks are asked on, and the quick one that is graded beside it.
JUDGE_SUITE = "correctness"
QUICK_SUITE = "smoke"
#: Cells with more logits than this are left out of what controls are asked: they take most of the time and show least.
CONTROL_ELEMENTS = 1 << 17
#: Beside float32, which every control is asked.
OTHER_DTYPES = ("bfloat16", "float16", "float64")

#: Told of each step: what it is, and the result.
Told = Callable[[Result], None]


def plan_selftest(
    suite: Suite | None, *, thorough: bool, only: Sequence[Mutant | Control] | None = None
) -> tuple[list[Trial], list[Trial], list[Trial]]:
    """Trials of mutants under named checks, of mutants under a suite, and of controls.

    A user's ``suite`` is graded by its own checks on its own cells, and nothing else is asked.
    """
    chosen_mutants = [s for s in (mutants() if only is None else only) if isinstance(s, Mutant)]
    chosen_controls = [s for s in (controls() if only is None else only) if isinstance(s, Control)]
    if suite is not None:
        asked = of_suite(suite, cases_on_cpu(suite), suite.checks)
        of_loss = {case.loss for case in asked}
        graded = [
            Trial(subject=m, question=suite.name, asked=asked, fail_fast=True)
            for m in chosen_mutants
            if m.loss in of_loss
        ]
        cleared = [
            Trial(subject=c, question=suite.name, asked=asked, fail_fast=False)
            for c in chosen_controls
            if c.loss in of_loss
        ]
        return [], graded, cleared
    judge, quick = load_suite(JUDGE_SUITE, families()), load_suite(QUICK_SUITE, families())
    cases = cases_on_cpu(judge)
    named = _named_trials(chosen_mutants, cases, thorough)
    small = of_suite(quick, cases_on_cpu(quick), CELL_CHECKS)
    quick_losses = {case.loss for case in small}
    graded = [
        Trial(subject=m, question=quick.name, asked=small, fail_fast=True)
        for m in chosen_mutants
        if m.loss in quick_losses
    ]
    return named, graded, _control_trials(chosen_controls, cases, thorough)


def _control_trials(chosen: Sequence[Control], cases: Sequence[Case], thorough: bool) -> list[Trial]:
    """Controls under all checks: the suite's cells in all dtypes; own cells in float32 and one other dtype, in turn.

    All dtypes of all own cells, and the largest cells, are for the thorough selftest: they would take half an hour.
    """
    small = [case for case in cases if thorough or case.elements <= CONTROL_ELEMENTS]
    everywhere = questions(small, CELL_CHECKS)
    own = tuple(check for check in CHECKS if check not in CELL_CHECKS)
    trials = []
    for index, control in enumerate(chosen):
        dtypes = DTYPES if thorough else ("float32", OTHER_DTYPES[index % len(OTHER_DTYPES)])
        asked = {**everywhere, **questions([case for case in small if case.dtype in dtypes], own)}
        trials.append(Trial(subject=control, question="all checks", asked=MappingProxyType(asked), fail_fast=False))
    return trials


def _named_trials(chosen: Sequence[Mutant], cases: Sequence[Case], thorough: bool) -> list[Trial]:
    """Each mutant under the checks it names; under all of them for the matrix."""
    asked = {check: of_check(check, cases) for check in CHECKS}
    return [
        Trial(subject=mutant, question=check, asked=asked.get(check, {}), fail_fast=True)
        for mutant in chosen
        for check in (CHECKS if thorough else mutant.caught_by)
    ]


def run_selftest(
    suite: Suite | None,
    workers: Workers,
    *,
    thorough: bool,
    planned: Callable[[int, str], None],
    told: Told,
    only: Sequence[Mutant | Control] | None = None,
) -> Findings:
    """Run all trials, measure blindness, and return what was found.

    ``planned`` hears how many trials there are, ``told`` each result.
    """
    started = time.monotonic()
    named, graded, cleared = plan_selftest(suite, thorough=thorough, only=only)
    subjects = list({trial.subject.reference: trial.subject for trial in (*named, *graded, *cleared)}.values())
    stand = make_stand(suite or load_suite(JUDGE_SUITE, families()), subjects, workers)
    jobs = usable_cores()
    planned(len(named) + len(graded) + len(cleared), suite.name if suite else QUICK_SUITE)
    seen = look(cases_on_cpu(suite or load_suite(JUDGE_SUITE, families())), stand.plan, workers)
    # controls first: they take longest, and an accusation is the gravest finding
    cleared_results = stand.judge_all(cleared, jobs, told)
    named_results = stand.judge_all(named, jobs, told)
    graded_results = stand.judge_all(graded, jobs, told)
    return Findings(
        named=named_results, suite=graded_results, controls=cleared_results, graded=suite is not None,
        suite_name=suite.name if suite else QUICK_SUITE, seconds=round(time.monotonic() - started, 1),
        blind=tuple(blind_lines(seen)), sees=tuple(sight_lines(seen)),
    )  # fmt: skip
