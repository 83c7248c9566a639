"""The gate on made-up runs: no clock, the same every time."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from harness.core.case import Case
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status
from harness.report.gate import compare_runs, log_speedups, side_of, with_remeasured
from harness.store import Run
from harness.store.samples import Samples
from harness.suite.model import Budget, Gate

GATE = Gate(max_slowdown=1.05)
CASES = [Case(batch=n, classes=10) for n in (1, 2, 3)]
HEADER = {
    "run_id": "r", "suite": {"baseline": "torch"}, "settings": {"threads": 2},
    "environment": {"processor": "A", "cores": 2, "last_level_cache_bytes": 1, "packages": {"torch": "2.13"}},
    "selfcheck": {"cpu": {"passed": True}},
}  # fmt: skip


def judged(case, status=Status.PASSED):
    reason = "" if status is Status.PASSED else "off"
    return Outcome(case=case, implementation="mine", kind=JUDGED, check="agreement", status=status, reason=reason)


def side(seed=0, slower=None, rounds=60, noise=0.012, header=None, status=None, metrics=None, cases=CASES, halves=2):
    """A run in which ``mine`` takes 0.8 of torch's time, times ``slower[batch]``."""
    draw, outcomes, samples = random.Random(seed), [], []
    for case in cases:
        outcomes.append(judged(case, (status or {}).get(case.batch, Status.PASSED)))
        figures = {"speedup": 1.25, "speedup_low": 1.24, "speedup_high": 1.26, "peak_bytes": 1000, **(metrics or {})}
        outcomes += [
            Outcome(case=case, implementation=name, kind=TIMED, check="timing", status=Status.PASSED, metrics=figures)
            for name in ("torch", "mine")
        ]
        for half in range(halves):
            base = [1e6 * draw.lognormvariate(0, 0.3) for _ in range(rounds)]
            factor = 0.8 * (slower or {}).get(case.batch, 1.0)
            factor = factor[half] if isinstance(factor, tuple) else factor
            mine = [2 * b * factor * draw.lognormvariate(0, noise) for b in base]
            series = {"torch": tuple(base), "mine": tuple(mine)}
            samples.append(
                Samples(
                    cell=case.cell,
                    samples_ns=series,
                    calls_per_sample={"torch": 1, "mine": 2},
                    rounds=rounds,
                    half=half,
                )
            )
    run = Run(path=None, header={**HEADER, **(header or {})}, outcomes=tuple(outcomes))
    return side_of(run, samples)


def verdicts(report):
    return {(f.implementation, f.cell): f.verdict for f in report.findings}


def test_a_run_against_itself_passes():
    one = side()
    report = compare_runs(one, one, GATE)
    assert (report.verdict, report.exit_code) == ("pass", 0)
    assert len(report.findings) == len(CASES)


def test_a_run_measured_anew_passes_though_seconds_drifted():
    assert compare_runs(side(seed=1), side(seed=2), GATE).exit_code == 0


def test_a_planted_slowdown_is_a_regression_that_names_the_cell():
    report = compare_runs(side(seed=1, slower={2: 1.06}), side(seed=2), GATE)
    flagged = [f for f in report.findings if f.verdict == "regression"]
    assert report.exit_code == 1
    assert [f.cell for f in flagged] == [CASES[1].cell]
    assert "×1.0" in flagged[0].reason


def test_a_slowdown_well_within_the_budget_passes():
    assert compare_runs(side(seed=1, slower={2: 1.02}), side(seed=2), GATE).exit_code == 0


def test_false_alarms_are_rare_over_hundreds_of_cells():
    cases = [Case(batch=n, classes=10) for n in range(1, 301)]
    report = compare_runs(side(seed=5, cases=cases, rounds=40), side(seed=6, cases=cases, rounds=40), GATE)
    assert not [f for f in report.findings if f.verdict == "regression"]


def test_a_run_too_short_is_inconclusive():
    report = compare_runs(side(rounds=4), side(rounds=60), GATE)
    assert report.exit_code == 4
    assert "too few rounds" in report.findings[0].reason


def test_a_run_too_noisy_is_inconclusive():
    report = compare_runs(side(seed=1, rounds=20, noise=0.3), side(seed=2, rounds=20, noise=0.3), GATE)
    assert report.exit_code == 4


def test_however_noisy_a_run_does_not_differ_from_itself():
    noisy = side(rounds=20, noise=0.3)
    report = compare_runs(noisy, noisy, GATE)
    assert report.exit_code == 0
    assert report.findings[0].reason == "the very samples of the baseline run"


def test_a_run_too_short_is_inconclusive_against_itself_too():
    short = side(rounds=4)
    assert compare_runs(short, short, GATE).exit_code == 4


def test_one_process_alone_flags_nothing():
    old = side(seed=2)
    new = side(seed=3)
    slow = side(seed=1, slower={2: 1.2})
    key = (CASES[1].cell, "mine")
    mixed = replace(new, speeds={**new.speeds, key: (slow.speeds[key][0], new.speeds[key][1])})
    report = compare_runs(mixed, old, GATE)
    assert verdicts(report)["mine", CASES[1].cell] == "inconclusive"


def test_a_run_sampled_in_one_process_is_inconclusive():
    assert compare_runs(side(halves=1), side(), GATE).exit_code == 4


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"environment": {**HEADER["environment"], "processor": "B"}}, "different hardware (processor: A then, B now)"),
        ({"settings": {"threads": 1}}, "threads"),
        ({"selfcheck": {"cpu": {"passed": False, "reason": "missed"}}}, "could not tell a planted slowdown"),
        ({"suite": {"baseline": "naive"}}, "ratios are to naive"),
    ],
)
def test_runs_that_cannot_be_compared_are_inconclusive_and_say_why(header, reason):
    report = compare_runs(side(header=header), side(), GATE)
    assert report.exit_code == 4
    assert any(reason in note for note in report.notes)


@pytest.mark.parametrize(("limit", "code"), [(1.0, 0), (1.5, 1), (1.25, 4)])
def test_on_other_hardware_the_least_speedup_asked_for_serves(limit, code):
    elsewhere = {"environment": {**HEADER["environment"], "processor": "B"}}
    gate = replace(GATE, min_speedup={"mine": limit})
    assert compare_runs(side(header=elsewhere), side(), gate).exit_code == code


def test_a_judged_fault_is_always_a_regression():
    failed = {1: Status.FAILED}
    report = compare_runs(side(status=failed), side(status=failed), GATE)
    assert report.exit_code == 1
    assert "agreement failed: off" in report.findings[0].reason


def test_memory_growth_beyond_the_budget_is_a_regression():
    gate = replace(GATE, max_memory_growth=1.1)
    report = compare_runs(side(metrics={"peak_bytes": 1200}), side(), gate)
    assert report.exit_code == 1
    assert "1000 → 1200 bytes" in next(f.reason for f in report.findings if f.verdict == "regression")
    assert compare_runs(side(metrics={"peak_bytes": 1050}), side(), gate).exit_code == 0


def test_a_budget_of_a_cell_goes_before_the_suites_own():
    wide = Budget(cell=CASES[1].cell.replace("/", "*"), implementation="m*", max_slowdown=1.2)
    report = compare_runs(side(seed=1, slower={1: 1.1, 2: 1.1}), side(seed=2), replace(GATE, budgets=(wide,)))
    assert verdicts(report)["mine", CASES[0].cell] == "regression"
    assert verdicts(report)["mine", CASES[1].cell] == "pass"


@pytest.mark.parametrize(
    ("budget", "reason"),
    [
        (Budget(max_peak_bytes=900), "peak memory 1000 bytes; allowed 900"),
        (Budget(max_seconds_per_call=1e-3), "a call takes 0.002 s; allowed 0.001 s"),
        (Budget(min_speedup=1.5), "at least 1.5 asked"),
    ],
)
def test_absolute_budgets_hold_whatever_the_run_is_compared_with(budget, reason):
    figures = {"peak_bytes": 1000, "median_ns": 2e6}
    for old in (side(metrics=figures), side(cases=CASES[1:], metrics=figures)):
        report = compare_runs(side(metrics=figures), old, replace(GATE, budgets=(budget,)))
        assert report.exit_code == 1
        assert any(reason in f.reason and f.cell == CASES[0].cell for f in report.findings)


def test_new_gone_and_changed_cells_are_listed():
    report = compare_runs(side(cases=CASES[1:], status={2: Status.DECLARED}), side(cases=CASES[:2]), GATE)
    assert report.new == tuple(f"{name} on {CASES[2].cell}" for name in ("mine", "torch"))
    assert report.gone == tuple(f"{name} on {CASES[0].cell}" for name in ("mine", "torch"))
    assert report.changed == (f"mine on {CASES[1].cell}, agreement: passed → declared",)


def test_nothing_in_common_is_inconclusive():
    assert compare_runs(side(cases=CASES[:1]), side(cases=CASES[1:]), GATE).exit_code == 4


def test_another_version_of_the_baseline_is_told():
    moved = {"environment": {**HEADER["environment"], "packages": {"torch": "2.14"}}}
    report = compare_runs(side(header=moved), side(), GATE)
    assert any("torch 2.13 → 2.14" in note for note in report.notes)


def test_measuring_again_clears_what_does_not_show_again():
    old = side(seed=2)
    report = compare_runs(side(seed=1, slower={1: 1.2, 2: 1.2}), old, GATE)
    again = side(seed=4, slower={2: 1.2}).speeds
    cleared = with_remeasured(report, again, old)
    assert verdicts(cleared)["mine", CASES[0].cell] == "pass"
    assert verdicts(cleared)["mine", CASES[1].cell] == "regression"
    assert cleared.exit_code == 1


def test_ratios_are_per_call():
    samples = Samples(
        cell="c", samples_ns={"torch": (100.0,), "mine": (400.0,)}, calls_per_sample={"torch": 1, "mine": 4}, rounds=1
    )
    assert log_speedups([samples], "torch")["c", "mine"] == ((0.0,),)
