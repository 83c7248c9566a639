"""What counts as a departure: what rounding explains passes, anything beyond fails, and blindness is measured."""

from __future__ import annotations

import numpy as np
import pytest

from harness.training.compare import FACTOR, Reference, departures, reference_of, worst
from harness.training.names import BASELINE, FLOAT64, PERTURBATIONS, PLANTED, planted_name

STEPS = 20


def run(shift: float = 0.0, growth: float = 0.0, accuracy: float = 0.75, logits: float = 0.0) -> dict[str, np.ndarray]:
    """A run whose loss curve is ``shift`` away at first, and ``growth`` more at each step."""
    steps = np.arange(STEPS)
    return {
        "losses": 2.0 - 0.05 * steps + shift + growth * steps, "norms": np.ones(STEPS) + shift,
        "weights": np.full(10, 1.0 + shift), "accuracy": np.asarray(accuracy),
        "logits": np.asarray([[1.0, 0.0], [0.0, 1e-5], [0.0, 2.0], [3.0, 0.0]]) + np.asarray([[logits, 0.0]]),
    }  # fmt: skip


@pytest.fixture
def reference() -> Reference:
    runs = {BASELINE: run(), FLOAT64: run(shift=1e-8)}
    runs |= {name: run(shift=1e-6, logits=1e-5) for name in PERTURBATIONS}
    runs |= {planted_name(epsilon): run(growth=epsilon) for epsilon in PLANTED}
    return reference_of(runs)


def test_the_baseline_itself_departs_nowhere(reference: Reference) -> None:
    assert worst(departures(reference.baseline, reference)).ratio == 0.0


def test_what_the_perturbed_runs_explain_passes_and_more_fails(reference: Reference) -> None:
    assert worst(departures(run(shift=0.9 * FACTOR * 1e-6), reference)).ratio <= 1
    assert worst(departures(run(shift=1.2 * FACTOR * 1e-6), reference)).ratio > 1


def test_the_first_step_beyond_is_named(reference: Reference) -> None:
    curve = next(one for one in departures(run(growth=1e-6), reference) if one.observable == "losses")
    assert curve.ratio > 1
    assert curve.step == 5


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_run_that_blows_up_fails(reference: Reference, value: float) -> None:
    broken = run()
    broken["losses"][7] = value
    curve = next(one for one in departures(broken, reference) if one.observable == "losses")
    assert curve.ratio == np.inf
    assert curve.step == 7


def test_accuracy_may_differ_only_by_answers_on_the_edge(reference: Reference) -> None:
    # one of the four held-out rows has logits 1e-5 apart, less than logits may move
    assert departures(run(accuracy=0.5), reference)[-1].ratio == pytest.approx(1.0, abs=0.01)
    assert departures(run(accuracy=0.25), reference)[-1].ratio > 1


def test_the_smallest_planted_error_that_is_caught_is_told(reference: Reference) -> None:
    assert reference.sees == 1e-6


def test_a_workload_that_sees_nothing_is_told_apart() -> None:
    runs = {name: run(growth=10.0) for name in (BASELINE, FLOAT64, *PERTURBATIONS)}
    runs |= {planted_name(epsilon): run(growth=10.0) for epsilon in PLANTED}
    assert reference_of(runs).sees is None
