"""The timer on fake workers: impossible times, invalid runs, halves that end early."""

from __future__ import annotations

from harness.core.case import Case, case_from_dict
from harness.core.implementation import Implementation
from harness.core.outcome import TIMED
from harness.core.status import Status
from harness.runner.record import NoSink, Record
from harness.runner.run import execute
from tests.conftest import plan_of
from tests.fakes import FakeWorker, FakeWorkers, Recorded

BASE = Implementation(name="base", loss="cross_entropy", reference="m:base")
RIVAL = Implementation(name="rival", loss="cross_entropy", reference="m:rival")
TIMING = {"target_relative_width": 0.02, "max_seconds": 1.0, "cache": "cold", "confidence": 0.99}
CASE = Case(batch=64, classes=1000, pass_="forward")


class MachineWorkers(FakeWorkers):
    """Workers whose machine has ``bandwidths`` (one for each time it is asked) and whose rival takes ``rival_ns``."""

    def __init__(self, bandwidths, rival_ns=100_000, selfcheck=None, refuses=None):
        super().__init__()
        self.bandwidths, self.rival_ns, self.selfcheck = iter(bandwidths), rival_ns, selfcheck
        self.refuses, self.halves, self.measured = refuses, [], 0

    def start(self, **_):
        super().start(**_)
        return MachineWorker(self)


class MachineWorker(FakeWorker):
    def request(self, job, *, timeout_s):
        if job["job"] == "machine":
            yield from self._machine(job)
        elif job["job"] == "time":
            yield from self._halves(job)
        else:
            yield from super().request(job, timeout_s=timeout_s)

    def _machine(self, job):
        workers = self._workers
        if "ceilings" in job["tasks"]:
            workers.measured += 1
            rate = next(workers.bandwidths)
            level = {"best": rate, "best_read": rate, "dtypes": {}}
            yield {"ceilings": {"cache_bytes": 1 << 20, "memory": level, "cache": level, "page_fault_ns": 0.0}}
        if "selfcheck" in job["tasks"] and workers.selfcheck is not None:
            yield {"selfcheck": workers.selfcheck}

    def _halves(self, job):
        workers, names = self._workers, [one["name"] for one in job["implementations"]]
        assert case_from_dict(job["case"]) == CASE
        workers.halves.append((job["half"], tuple(names), job["calls"], job["max_seconds"]))
        if workers.refuses in names:
            yield {"arm": workers.refuses, "status": "raised", "reason": "no", "traceback": "t"}
            names.remove(workers.refuses)
        times = {"base": 100_000, "rival": workers.rival_ns}
        yield {
            "samples": {name: [times[name] * 3] * 20 for name in names}, "calls": dict.fromkeys(names, 3), "rounds": 20,
            "shared": {"cache": "cold", "converged": True, "seconds": 0.1}, "arms": {},
        }  # fmt: skip


def timed(workers):
    listener = Recorded()
    record = Record(NoSink(), listener)
    execute(plan_of([CASE], [BASE, RIVAL], timing=TIMING), workers, record, listener)
    return {o.implementation: o for o in record.outcomes if o.kind == TIMED}, listener


def test_a_time_that_the_bandwidth_forbids_is_refused_after_the_ceilings_were_measured_again():
    workers = MachineWorkers([1e10] * 10, rival_ns=5_000)
    found, _ = timed(workers)
    assert found["rival"].status is Status.FAILED
    assert "another thread" in found["rival"].reason
    assert not found["rival"].metrics
    assert found["base"].status is Status.PASSED
    assert workers.measured == 4


def test_a_ceiling_that_was_measured_too_low_accuses_nobody():
    workers = MachineWorkers([1e10, 1e11], rival_ns=5_000)
    found, _ = timed(workers)
    assert found["rival"].status is Status.PASSED
    assert workers.measured == 2


def test_a_self_check_that_fails_makes_the_run_say_so():
    check = {"passed": False, "reason": "a planted slowdown of 5 % was missed"}
    _, listener = timed(MachineWorkers([1e12], selfcheck=check))
    assert any("speed verdicts on cpu are invalid in this run: a planted slowdown" in note for note in listener.notes)


def test_the_second_process_gets_half_the_time_and_the_first_ones_calls():
    workers = MachineWorkers([1e12])
    found, _ = timed(workers)
    names = ("base", "rival")
    assert workers.halves == [(0, names, None, 0.5), (1, names, {"base": 3, "rival": 3}, 0.5)]
    assert found["rival"].metrics["rounds"] == 40


def test_who_was_refused_by_the_first_process_is_not_asked_by_the_second():
    workers = MachineWorkers([1e12], refuses="rival")
    found, _ = timed(workers)
    assert (found["rival"].status, found["rival"].reason) == (Status.RAISED, "no")
    assert found["base"].status is Status.PASSED
    assert [names for _, names, _, _ in workers.halves] == [("base", "rival")]


def test_without_a_time_of_the_baseline_nobody_has_a_ratio():
    found, _ = timed(MachineWorkers([1e12], refuses="base"))
    assert found["base"].status is Status.RAISED
    assert found["rival"].status is Status.SKIPPED
    assert "the baseline base could not be timed" in found["rival"].reason
