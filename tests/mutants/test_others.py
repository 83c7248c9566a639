"""Wrong forms of the losses beside cross-entropy are caught by the checks they name, unusual ones are never accused."""

from __future__ import annotations

import importlib
from functools import cache

import pytest

from harness.checks.catalogue import CELL_CHECKS
from harness.core.case import Case
from harness.core.status import FAULTS
from harness.losses.catalogue import families
from harness.mutants.catalogue import controls, mutants
from harness.suite import expand, load_suite
from tests.checks.judging import judge

#: Torch says that kl_div's mean is not what one thinks.
pytestmark = pytest.mark.filterwarnings("ignore:reduction:UserWarning")
TAKEN_ELSEWHERE = ("cross_entropy", "linear_cross_entropy")
MUTANTS = [mutant for mutant in mutants() if mutant.loss not in TAKEN_ELSEWHERE]
CONTROLS = [control for control in controls() if control.loss not in TAKEN_ELSEWHERE]
OWN_CHECKS = ("options", "grad_output", "layout", "relations")


@cache
def cells(loss: str) -> tuple[Case, ...]:
    """The cells of the suite that `check` judges by, in two dtypes: the selftest has all."""
    suite = load_suite("correctness", families())
    return tuple(
        case for case in expand(suite, families()) if case.loss == loss and case.dtype in ("float32", "bfloat16")
    )


def accusations(subject, check: str) -> list[str]:
    """Cell and reason of what ``check`` holds against a subject."""
    module, _, name = subject.reference.partition(":")
    function = getattr(importlib.import_module(module), name)
    asked = cells(subject.loss) if check in CELL_CHECKS else None
    found = judge(function, check, loss=subject.loss, cells=asked, keep=lambda case: _supported(subject, case))
    return [f"{case.cell}: {verdict.reason}" for case, verdict in found if verdict.status in FAULTS]


def _supported(subject, case: Case) -> bool:
    """Two controls round every step in the dtype that they are given, and declare no halves."""
    wide = subject.name in ("softmax_by_its_log", "log_softmax_by_lse")
    return not wide or case.dtype in ("float32", "float64")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_caught_by_each_check_that_it_names(mutant):
    assert [check for check in mutant.caught_by if not accusations(mutant, check)] == []


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: control.name)
def test_a_control_is_never_accused(control):
    assert [found for check in (*CELL_CHECKS, *OWN_CHECKS) for found in accusations(control, check)] == []


def test_every_loss_has_wrong_and_unusual_forms():
    for loss in set(families()) - set(TAKEN_ELSEWHERE):
        assert sum(mutant.loss == loss for mutant in MUTANTS) >= 3, loss
        assert sum(control.loss == loss for control in CONTROLS) >= 2, loss
