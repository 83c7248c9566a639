"""Workers that crash, hang, raise, run out of memory or speak nonsense cost exactly one cell each."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest

from harness.core.case import Case
from harness.core.outcome import Outcome
from harness.core.status import Status
from harness.runner.events import Silent
from harness.runner.record import NoSink, Record
from harness.runner.run import execute
from harness.runner.survey import survey
from harness.worker.process import ProcessWorkers
from tests.conftest import plan_of

#: Three cells; the plugins misbehave on the middle one.
CASES = [Case(batch=batch, classes=7) for batch in (2, 3, 5)]

EXPECTED = {
    "segfaults": (Status.CRASHED, "SIGSEGV"),
    "hangs": (Status.TIMED_OUT, "no sign of life"),
    "raises": (Status.RAISED, "no batch of three"),
    "exhausts_memory": (Status.OUT_OF_MEMORY, "memory"),
    "exits": (Status.CRASHED, "ended the process by itself with status 0"),
    "sys_exits": (Status.RAISED, "SystemExit"),
    "prints_garbage": (Status.PASSED, ""),
    "writes_on_the_pipe": (Status.CRASHED, ""),
    "wrong_shape": (Status.FAILED, "shape (1,)"),
    "returns_tuple": (Status.FAILED, "returned tuple"),
    "detached": (Status.FAILED, "no gradient"),
    "mutates_logits": (Status.FAILED, "changed the caller's logits"),
}


@pytest.fixture(scope="module")
def outcomes(workers: ProcessWorkers, plugins: Path) -> dict[str, dict[int, list[Outcome]]]:
    """Outcomes of every misbehaving plugin by name and batch."""
    found = survey(workers, (str(plugins / "bad.py"),), plugins)
    implementations = list(found.asked[str(plugins / "bad.py")])
    record = Record(NoSink(), Silent())
    plan = plan_of(CASES, implementations, seconds_per_call=8.0)
    execute(plan, workers, record, Silent())
    by_name: dict[str, dict[int, list[Outcome]]] = defaultdict(lambda: defaultdict(list))
    for outcome in record.outcomes:
        by_name[outcome.implementation][outcome.case.batch].append(outcome)
    return by_name


@pytest.mark.parametrize("name", EXPECTED)
def test_a_misbehaving_implementation_costs_only_the_cell_it_misbehaves_on(outcomes, name):
    expected, text = EXPECTED[name]
    found = outcomes[name]
    assert set(found) == {2, 3, 5}
    for batch in (2, 5):
        assert {o.status for o in found[batch]} == {Status.PASSED}, [o.reason for o in found[batch]]
    if expected is not None:
        bad = [o for o in found[3] if o.status is expected]
        assert bad
        assert any(text in o.reason for o in bad), [o.reason for o in bad]


def test_every_outcome_that_is_not_passed_has_a_reason_and_faults_a_command(outcomes):
    for found in outcomes.values():
        for outcome in (o for by_batch in found.values() for o in by_batch):
            assert outcome.status is Status.PASSED or outcome.reason
            if outcome.status in (Status.FAILED, Status.RAISED, Status.CRASHED, Status.TIMED_OUT, Status.OUT_OF_MEMORY):
                assert outcome.metrics["reproduce"].startswith("python -m harness check ")


def test_a_raised_outcome_keeps_the_plugins_traceback(outcomes):
    raised = [o for o in outcomes["raises"][3] if o.status is Status.RAISED]
    assert "in raises" in (raised[0].traceback or "")


@pytest.mark.parametrize(
    ("file", "status", "text"),
    [
        ("exits_at_import.py:loss", Status.CRASHED, "status 3"),
        ("fails_at_import.py:loss", Status.RAISED, "package_that_nobody_has"),
    ],
)
def test_a_plugin_that_breaks_at_import_is_listed_with_the_reason_and_breaks_nothing_else(
    workers, plugins, file, status, text
):
    reference = str(plugins / file)
    found = survey(workers, (reference, str(plugins / "losses.py") + ":right"), plugins)
    broken = found.asked[reference][0]
    record = Record(NoSink(), Silent())
    execute(plan_of(CASES[:1], [broken]), workers, record, Silent())
    assert {o.status for o in record.outcomes} == {status}
    assert text in record.outcomes[0].reason
    assert found.asked[str(plugins / "losses.py") + ":right"][0].failed is None
