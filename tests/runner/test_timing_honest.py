"""Real timing workers: rivals whose times cannot be believed get no figure, and the reason names the cause."""

from __future__ import annotations

import pytest

from harness.core.case import Case
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status
from harness.runner.record import NoSink, Record
from harness.runner.survey import survey
from harness.runner.timing import Timer
from tests.conftest import plan_of
from tests.fakes import Recorded

TIMING = {"target_relative_width": 0.2, "max_seconds": 0.4, "cache": "cold", "confidence": 0.99}
CASES = (
    Case(batch=64, classes=1000, pass_="forward_no_grad"),
    Case(batch=64, classes=1000, pass_="forward"),
    Case(batch=64, classes=1000, pass_="forward_backward"),
)
pytestmark = pytest.mark.slow
NAMES = ("keeps_results", "on_another_thread", "writes_inputs", "recompiles")


class Kept(NoSink):
    def __init__(self):
        self.header, self.samples = {}, []

    def update_header(self, **values):
        self.header.update(values)

    def append_samples(self, cell, samples_ns, calls_per_sample, half=0):
        self.samples.append((cell, half, samples_ns))


@pytest.fixture(scope="module")
def timed(workers, plugins):
    """The cells timed once, as if every answer had been judged right."""
    references = [f"{plugins}/dishonest.py:{name}" for name in NAMES]
    found = survey(workers, ("torch", *references), plugins)
    chosen = found.select(("torch", *references))
    listener, sink = Recorded(), Kept()
    made_early = {"writes_inputs": True}
    judged = [
        Outcome(
            case=case, implementation=one.name, kind=JUDGED, check="agreement", status=Status.PASSED,
            metrics={"gradient_in_forward": made_early.get(one.name, False), "peak_bytes": 1},
        )
        for case in CASES
        for one in chosen
    ]  # fmt: skip
    record = Record(sink, listener, judged)
    timer = Timer(plan_of(list(CASES), list(chosen), timing=TIMING, cache_bytes=1 << 23), workers, record, listener)
    try:
        for case in CASES:
            timer.time(case)
        timer.account(0.0)
    finally:
        timer.close()
    return {(o.case.pass_, o.implementation): o for o in record.outcomes if o.kind == TIMED}, sink, listener


def test_kept_results_are_refused(timed):
    outcome = timed[0]["forward_no_grad", "keeps_results"]
    assert outcome.status is Status.FAILED
    assert "kept" in outcome.reason or "keeps results" in outcome.reason
    assert "speedup" not in outcome.metrics


def test_work_on_another_thread_is_refused(timed):
    outcome = timed[0]["forward_no_grad", "on_another_thread"]
    assert outcome.status is Status.FAILED
    assert "another thread" in outcome.reason


def test_meeting_the_recompile_limit_fails_the_cell(timed):
    outcome = timed[0]["forward_no_grad", "recompiles"]
    assert outcome.status is Status.FAILED
    assert "limit of 8 graphs" in outcome.reason


def test_a_kernel_that_writes_into_its_inputs_is_timed_on_its_own_inputs(timed):
    outcome = timed[0]["forward_backward", "writes_inputs"]
    assert outcome.status is Status.PASSED, outcome.reason
    assert outcome.metrics["writes_inputs"]


def test_a_forward_that_makes_the_gradient_is_not_compared_with_one_that_does_not(timed):
    alone = timed[0]["forward", "writes_inputs"].metrics
    assert alone["verdict"] == "not compared"
    assert "speedup" not in alone
    assert alone["median_ns"] > 0
    assert "speedup" in timed[0]["forward_backward", "writes_inputs"].metrics


def test_the_baseline_has_its_figures_with_roofline_and_noise(timed):
    metrics = timed[0]["forward_backward", "torch"].metrics
    assert metrics["verdict"] == "baseline"
    assert 0 < metrics["roofline_fraction"] < 1.25
    assert metrics["least_ns"] > 0
    assert metrics["copies"] * metrics["copy_ns"] == pytest.approx(metrics["median_ns"], rel=0.5)
    assert 0 <= metrics["page_fault_share"] <= 1
    assert metrics["cpu_wall_ratio"] > 0
    assert metrics["peak_bytes"] == 1


def test_each_cell_is_sampled_by_two_processes_with_one_length_of_sample(timed):
    halves = [(cell, half) for cell, half, _ in timed[1].samples]
    assert halves == [(case.cell, half) for case in CASES for half in (0, 1)]


def test_the_header_holds_ceilings_self_check_and_where_the_time_went(timed):
    header = timed[1].header
    assert header["ceilings"]["cpu"]["memory"]["dtypes"]["float32"].keys() == {"read", "write", "copy"}
    assert header["selfcheck"]["cpu"]["passed"] in (True, False)
    assert header["time_parts"]["sampled"] > 0
    assert any("inside the sampled calls" in note for note in timed[2].notes)
