"""The whole path with fakes: pairing, judging, timing, charging losses, resuming."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.core.case import Case
from harness.core.expectation import parse_expectation
from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status, exit_code
from harness.runner.record import NoSink, Record
from harness.runner.run import count_work, execute, stale_expectations
from harness.worker.process import WorkerLostError
from tests.conftest import plan_of
from tests.fakes import FakeWorkers, Recorded

BASE = Implementation(name="base", loss="cross_entropy", reference="m:base")
RIVAL = Implementation(name="rival", loss="cross_entropy", reference="m:rival")
NO_WEIGHT = Implementation(name="plain", loss="cross_entropy", reference="m:plain", options=("reduction",))
TIMING = {"target_relative_width": 0.02, "max_seconds": 1.0, "cache": "cold", "confidence": 0.99}
CASES = [Case(batch=n, classes=4, pass_=p) for n in (2, 3) for p in ("forward", "forward_backward")]


def run(workers, implementations=(BASE, RIVAL), cases=CASES, earlier=(), **changes):
    listener = Recorded()
    record = Record(NoSink(), listener, earlier)
    execute(plan_of(list(cases), list(implementations), **changes), workers, record, listener)
    return record, listener


def status_of(record, implementation, cell, kind=JUDGED):
    return {
        o.status
        for o in record.outcomes
        if o.implementation == implementation and o.case.cell == cell and o.kind == kind
    }


def test_every_cell_gets_each_of_its_checks_once_and_a_timing():
    record, _ = run(FakeWorkers(), timing=TIMING)
    keys = [o.key for o in record.outcomes]
    assert len(keys) == len(set(keys))
    judged = [o for o in record.outcomes if o.kind == JUDGED]
    timed = [o for o in record.outcomes if o.kind == TIMED]
    assert len(judged) == 2 * (2 * 2 + 2 * 3)
    assert len(timed) == 2 * len(CASES)


def test_judging_workers_are_gone_before_the_timing_worker_starts():
    workers = FakeWorkers()
    run(workers, timing=TIMING)
    assert [entry["fresh"] for entry in workers.started] == ["False", "False", "True", "True"]
    assert workers.closed == 4


def test_what_failed_is_not_timed_and_says_so():
    workers = FakeWorkers(lambda name, case: Status.FAILED if (name, case.batch) == ("rival", 2) else Status.PASSED)
    record, _ = run(workers, timing=TIMING)
    assert status_of(record, "rival", CASES[0].cell, TIMED) == {Status.SKIPPED}
    assert status_of(record, "rival", CASES[2].cell, TIMED) == {Status.PASSED}
    assert ("time", "rival", CASES[0].cell) not in workers.jobs


def test_a_declared_difference_is_timed():
    workers = FakeWorkers(lambda name, case: Status.DECLARED if name == "rival" else Status.PASSED)
    record, _ = run(workers, timing=TIMING)
    assert status_of(record, "rival", CASES[0].cell, TIMED) == {Status.PASSED}


def test_without_a_right_baseline_nothing_is_compared():
    workers = FakeWorkers(lambda name, case: Status.FAILED if name == "base" else Status.PASSED)
    record, _ = run(workers, timing=TIMING)
    timed = [o for o in record.outcomes if o.kind == TIMED]
    assert {o.status for o in timed} == {Status.SKIPPED}
    assert any("baseline base" in o.reason for o in timed if o.implementation == "rival")


def lost(cell="", culprit="", status=Status.CRASHED, stage="call"):
    return WorkerLostError(status, "was ended by SIGSEGV", stage, culprit, cell)


def test_a_crash_costs_the_cell_under_way_and_the_other_pass_is_asked_again():
    crashed = CASES[0].cell

    def script(name, case):
        return lost(crashed, name) if (name, case.cell) == ("rival", crashed) else Status.PASSED

    workers = FakeWorkers(script)
    record, _ = run(workers)
    assert status_of(record, "rival", crashed) == {Status.CRASHED}
    for case in CASES[1:]:
        assert status_of(record, "rival", case.cell) == {Status.PASSED}
    assert status_of(record, "base", crashed) == {Status.PASSED}


def test_a_crash_at_import_settles_all_cells_without_trying_each():
    def script(name, case):
        return lost(stage="import of m:rival", culprit="rival") if name == "rival" else Status.PASSED

    workers = FakeWorkers(script)
    record, _ = run(workers)
    assert {o.status for o in record.outcomes if o.implementation == "rival"} == {Status.CRASHED}
    assert sum(job[1] == "rival" for job in workers.jobs) == 1


def test_after_three_time_outs_the_rest_is_not_waited_for():
    cases = [Case(batch=n, classes=4) for n in range(2, 10)]

    def script(name, case):
        return lost(case.cell, name, Status.TIMED_OUT) if name == "rival" else Status.PASSED

    record, _ = run(FakeWorkers(script), cases=cases)
    found = [status_of(record, "rival", case.cell) for case in cases]
    assert found == [{Status.TIMED_OUT}] * 3 + [{Status.SKIPPED}] * 5


def test_a_culprit_of_the_timing_process_is_charged_and_the_others_are_timed_again():
    third = replace(RIVAL, name="third")

    def script(name, case):
        return lost(culprit="rival") if (name, case.cell) == ("timed rival", CASES[0].cell) else Status.PASSED

    record, _ = run(FakeWorkers(script), implementations=(BASE, RIVAL, third), timing=TIMING)
    assert status_of(record, "rival", CASES[0].cell, TIMED) == {Status.CRASHED}
    assert status_of(record, "third", CASES[0].cell, TIMED) == {Status.PASSED}
    assert status_of(record, "base", CASES[0].cell, TIMED) == {Status.PASSED}


def test_resuming_runs_only_what_is_missing_and_ends_with_the_same_cells():
    whole, _ = run(FakeWorkers(), timing=TIMING)
    for kept in range(0, len(whole.outcomes), 3):
        workers = FakeWorkers()
        again, _ = run(workers, timing=TIMING, earlier=whole.outcomes[:kept])
        assert sorted(o.key for o in again.outcomes) == sorted(o.key for o in whole.outcomes)
        done = {
            (o.implementation, o.case.cell)
            for o in whole.outcomes[:kept]
            if o.kind == TIMED and o.implementation != "base"
        }
        assert not {job[1:] for job in workers.jobs if job[0] == "time"} & done


def test_memory_and_first_call_of_the_judgement_stand_with_the_timing():
    record, _ = run(FakeWorkers(), timing=TIMING)
    timed = next(o for o in record.outcomes if o.kind == TIMED)
    assert timed.metrics["peak_bytes"] == 1000
    assert timed.metrics["first_call_ns"] == 5


def test_an_option_that_the_signature_lacks_is_unsupported():
    cases = [Case(batch=2, classes=4, weight="skewed")]
    record, _ = run(FakeWorkers(), implementations=(BASE, NO_WEIGHT), cases=cases)
    outcome = next(o for o in record.outcomes if o.implementation == "plain")
    assert outcome.status is Status.UNSUPPORTED
    assert "weight" in outcome.reason


def test_without_the_device_every_cell_is_unavailable_and_the_exit_status_is_3():
    cases = [replace(case, device="cuda") for case in CASES]
    record, _ = run(FakeWorkers(), cases=cases, timing=TIMING)
    assert {o.status for o in record.outcomes} == {Status.UNAVAILABLE}
    assert exit_code(record.statuses()) == 3


def test_what_does_not_fit_is_skipped_with_the_numbers():
    record, _ = run(FakeWorkers(), cases=[Case(batch=1 << 20, classes=1 << 20)])
    assert {o.status for o in record.outcomes} == {Status.SKIPPED}
    assert "GiB of" in record.outcomes[0].reason


def test_fail_fast_stops_an_implementation_at_its_first_fault():
    workers = FakeWorkers(lambda name, case: Status.FAILED if name == "rival" else Status.PASSED)
    record, _ = run(workers, fail_fast=True)
    assert len({o.case.inputs_key for o in record.outcomes if o.implementation == "rival"}) == 1
    assert len({o.case.inputs_key for o in record.outcomes if o.implementation == "base"}) == 2


def test_progress_counts_add_up_to_the_plan():
    listener = Recorded()
    plan = plan_of(CASES, [BASE, RIVAL], timing=TIMING)
    execute(plan, FakeWorkers(), Record(NoSink(), listener), listener)
    judged, timed = count_work(plan)
    assert listener.finished.count(JUDGED) == judged
    assert listener.finished.count(TIMED) == timed


@pytest.mark.parametrize(("shown", "stale"), [(True, 0), (False, 1)])
def test_a_declared_difference_that_did_not_show_is_stale(shown, stale):
    expects = replace(RIVAL, expect=(parse_expectation("gradient[dtype=float32]", "known"),))
    outcome = Outcome(
        case=CASES[1],
        implementation="rival",
        kind=JUDGED,
        check="gradient",
        status=Status.DECLARED if shown else Status.PASSED,
        reason="known (…)" if shown else "",
    )
    assert len(stale_expectations([expects], [outcome])) == stale
