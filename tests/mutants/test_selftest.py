"""The selftest through the real path, on a sample; and what it makes of outcomes."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from harness.checks.catalogue import questions
from harness.commands.selftest import selftest as command
from harness.core.case import Case
from harness.core.outcome import JUDGED, Outcome
from harness.core.status import Status
from harness.losses.catalogue import families
from harness.mutants import selftest as machinery
from harness.mutants.catalogue import Control, Mutant, controls, mutants
from harness.mutants.matrix import matrix_lines
from harness.mutants.results import Findings, Result, result_of, result_to_dict
from harness.mutants.selftest import plan_selftest, run_selftest
from harness.suite.load import load_suite
from harness.suite.model import CHECKS
from harness.worker.process import ProcessWorkers

SUITE = """suite: tiny
description: two cells of the tests
baseline: torch
implementations: [torch]
checks: [agreement, gradient, stability]
cases:
  - {loss: cross_entropy, batch: 8, classes: 10, dtype: float32, device: cpu, regime: [normal, masked], reduction: none}
timing: none
"""


def subject(name: str) -> Mutant | Control:
    return next(s for s in (*mutants(), *controls()) if s.name == name)


def outcome(status: Status, reason: str = "") -> Outcome:
    case = Case(batch=2, classes=3)
    return Outcome(case=case, implementation="x", kind=JUDGED, check="agreement", status=status, reason=reason)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(SUITE)
    return path


def test_a_mutant_is_caught_by_the_check_it_names_and_a_crash_counts(workers: ProcessWorkers) -> None:
    names = ("weighted_mean_over_count", "upstream_ignored", "crashes_past_a_tile_edge", "row_stride_assumed")
    told: list[Result] = []
    found = run_selftest(
        None,
        workers,
        thorough=False,
        planned=lambda count, name: None,
        told=told.append,
        only=[subject(n) for n in names],
    )
    assert found.escapes == ()
    assert {result.subject.name for result in found.named if result.caught} == set(names)
    assert len(told) == 2 * len(names)
    assert {r.subject.name: r.faults[0].status for r in found.named}["crashes_past_a_tile_edge"] is Status.CRASHED


def test_a_suite_is_graded_by_what_it_catches(
    workers: ProcessWorkers, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = [subject("masked_gradient_is_nan"), subject("weighted_mean_over_count")]
    monkeypatch.setattr(machinery, "mutants", lambda: tuple(chosen))
    monkeypatch.setattr(machinery, "controls", lambda: (subject("online_tiles"), subject("numpy_inside")))
    text = StringIO()
    out = tiny.with_suffix(".json")
    code = command(
        str(tiny), thorough=False, json_path=out, console=Console(file=text, width=200), quiet=False, workers=workers
    )
    assert code == 1
    assert "escaped: weighted_mean_over_count (tiny)" in text.getvalue()
    assert "escaped: weighted_mean_over_count under tiny" in text.getvalue()
    assert "2 mutants against suite tiny: 1 killed, 1 escaped" in text.getvalue()
    assert "2 controls: 0 accused" in text.getvalue()
    assert out.read_text().count('"cleared"') == 2


def test_a_subject_that_cannot_be_imported_is_no_kill(workers: ProcessWorkers, tiny: Path) -> None:
    ghost = Mutant(name="ghost", group="tiles", mechanism="is not there", caught_by=("sizes",))
    with pytest.raises(Exception, match="ghost"):
        run_selftest(
            load_suite(tiny, families()), workers, thorough=False, planned=lambda count, name: None,
            told=lambda result: None, only=[ghost],
        )  # fmt: skip


def test_a_mutant_escapes_when_nothing_accuses_it_and_is_untested_when_memory_is_short() -> None:
    mutant = subject("tail_dropped")
    assert result_of(mutant, "sizes", [outcome(Status.PASSED)], 1.0).escaped
    assert result_of(mutant, "sizes", [outcome(Status.UNSUPPORTED, "has no option")], 1.0).escaped
    assert not result_of(mutant, "sizes", [outcome(Status.PASSED), outcome(Status.RAISED, "it raised")], 1.0).escaped
    short = result_of(mutant, "large_index", [outcome(Status.SKIPPED, "needs 31 GiB of 24")], 1.0)
    assert (short.escaped, short.untested) == (False, "needs 31 GiB of 24")


def test_a_declared_difference_is_no_accusation_of_a_control() -> None:
    control = subject("mean_of_nothing_is_zero")
    assert not result_of(control, "all checks", [outcome(Status.DECLARED, "0, not NaN")], 1.0).accused
    accused = result_of(control, "all checks", [outcome(Status.FAILED, "off")], 1.0)
    assert accused.accused
    assert result_to_dict(accused)["result"] == "accused"


def test_escapes_of_the_quick_suite_are_not_escapes_of_the_harness() -> None:
    missed = result_of(subject("tail_dropped"), "smoke", [outcome(Status.PASSED)], 1.0)
    values = {"named": (), "suite": (missed,), "controls": (), "suite_name": "smoke", "seconds": 1.0}
    assert Findings(graded=False, **values).escapes == ()
    assert Findings(graded=True, **values).escapes == (missed,)


def test_controls_are_asked_every_check_and_mutants_those_they_name() -> None:
    named, graded, cleared = plan_selftest(None, thorough=False)
    assert {(t.subject.name, t.question) for t in named} == {(m.name, c) for m in mutants() for c in m.caught_by}
    # smoke has cells of cross-entropy alone
    assert [t.subject for t in graded] == [m for m in mutants() if m.loss == "cross_entropy"]
    for trial in cleared:
        assert {check for checks in trial.asked.values() for check in checks} == set(CHECKS)
    dtypes = {case.dtype for trial in cleared for case, checks in trial.asked.items() if "sizes" in checks}
    assert dtypes == {"float32", "bfloat16", "float16", "float64"}


def test_the_matrix_names_what_only_one_check_catches() -> None:
    mutant = subject("tail_dropped")
    results = [
        result_of(mutant, "agreement", [outcome(Status.PASSED)], 1.0),
        result_of(mutant, "sizes", [outcome(Status.FAILED, "off")], 1.0),
    ]
    text = "\n".join(matrix_lines(results))
    assert f"| `tail_dropped` | {mutant.mechanism} | sizes |" in text
    assert "| sizes | 1 | `tail_dropped` |" in text


def test_a_control_passes_checks_that_bring_cells_of_their_own(workers: ProcessWorkers) -> None:
    asked = questions([Case(batch=8, classes=10)], ("agreement", "grad_output", "relations", "side_effects", "targets"))
    stand = machinery.make_stand(load_suite("correctness", families()), [subject("kahan_sum")], workers)
    found = stand.judge(machinery.Trial(subject=subject("kahan_sum"), question="some", asked=asked, fail_fast=False))
    assert found.faults == ()
    assert found.asked > 50
