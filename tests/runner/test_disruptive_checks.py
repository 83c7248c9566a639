"""What an invalid target does to a process stays with the cell that asked it."""

from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import pytest

from harness.core.case import Case
from harness.core.status import Status
from harness.runner.events import Silent
from harness.runner.plan import Plan
from harness.runner.record import NoSink, Record
from harness.runner.run import execute
from harness.runner.survey import survey
from tests.conftest import plan_of
from tests.fakes import FakeWorkers

INVALID = Case(batch=6, classes=300, grad_output="random", options=(("invalid", "C"),))
HUGE = Case(batch=6, classes=300, grad_output="random", options=(("invalid", "huge"),))
PLAIN = Case(batch=4, classes=7)
QUESTIONS = MappingProxyType({INVALID: ("targets",), HUGE: ("targets",), PLAIN: ("agreement",)})


def asking(plan: Plan, questions=QUESTIONS) -> Plan:
    return replace(plan, cases=tuple(questions), questions=questions)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ends_the_process", Status.CRASHED), ("spoils_the_process", Status.FAILED)],
)
def test_the_cells_after_are_judged_in_a_process_of_their_own(workers, plugins: Path, name, expected):
    reference = f"{plugins / 'invalid_targets.py'}:{name}"
    found = survey(workers, (reference,), plugins)
    record = Record(NoSink(), Silent())
    execute(asking(plan_of([PLAIN], list(found.asked[reference]))), workers, record, Silent())
    by_cell = {outcome.cell: outcome for outcome in record.outcomes}
    assert expected in {o.status for cell, o in by_cell.items() if "invalid" in cell}
    assert by_cell[PLAIN.cell].status is Status.PASSED


def test_a_worker_is_kept_within_a_run_of_such_cells_and_replaced_behind_it(workers, plugins: Path):
    reference = f"{plugins / 'losses.py'}:right"
    (right,) = survey(workers, (reference,), plugins).asked[reference]
    fakes = FakeWorkers()
    execute(asking(plan_of([PLAIN], [right])), fakes, Record(NoSink(), Silent()), Silent())
    assert [cell for _, _, cell in fakes.jobs] == [case.cell for case in QUESTIONS]
    assert len(fakes.started) == 2
