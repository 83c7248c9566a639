"""The sampler, on arms that cost what a fake clock says: calibration, interleaving, and when it stops."""

from __future__ import annotations

import random

import pytest

from harness.timing.sampler import Hooks, SamplerSettings, ratio, sample_arms


class Machine:
    """A machine whose calls take a given time each, with noise; drives its own clock."""

    def __init__(self, seed: int = 0) -> None:
        self.now, self.random, self.visits = 0, random.Random(seed), []

    def arm(self, name: str, call_ns: float, noise: float = 0.0):
        def run(calls: int) -> int:
            elapsed = int(calls * call_ns * self.random.lognormvariate(0, noise))
            self.now += elapsed
            self.visits.append((name, calls))
            return elapsed

        return run


def sampled(machine: Machine, arms: dict, **settings):
    return sample_arms(arms, "a", SamplerSettings(**settings), seed=1, now_ns=lambda: machine.now)


def test_samples_spread_the_seconds_over_as_many_rounds_as_there_may_be():
    machine = Machine()
    arms = {"a": machine.arm("a", 10_000), "b": machine.arm("b", 100_000)}
    assert sampled(machine, arms, max_seconds=4.0, max_rounds=1000).calls == {"a": 200, "b": 20}


@pytest.mark.parametrize(("seconds", "wanted_ns"), [(0.01, 400_000), (2.0, 1_000_000), (60.0, 3_000_000)])
def test_a_sample_is_long_against_the_clock_and_short_against_neighbours(seconds, wanted_ns):
    assert SamplerSettings(max_seconds=seconds, max_rounds=1000).sample_ns(2) == wanted_ns


def test_a_call_longer_than_a_sample_is_sampled_alone():
    machine = Machine()
    samples = sampled(machine, {"a": machine.arm("a", 50_000_000), "b": machine.arm("b", 90_000_000)})
    assert samples.calls == {"a": 1, "b": 1}


def test_every_round_visits_every_arm_once_in_varying_order():
    machine = Machine()
    arms = {name: machine.arm(name, 1_000_000) for name in "abc"}
    samples = sampled(machine, arms)
    rounds = [name for name, _ in machine.visits[-3 * samples.rounds :]]
    orders = {tuple(rounds[i : i + 3]) for i in range(0, len(rounds), 3)}
    assert all(set(order) == set("abc") for order in orders)
    assert len(orders) > 1


def test_it_stops_at_the_first_look_when_there_is_no_noise():
    machine = Machine()
    samples = sampled(machine, {"a": machine.arm("a", 1e6), "b": machine.arm("b", 2e6)})
    assert (samples.rounds, samples.converged) == (20, True)


def test_noise_takes_more_rounds_and_the_interval_keeps_its_promise():
    machine = Machine()
    arms = {"a": machine.arm("a", 1e6, 0.02), "b": machine.arm("b", 1.5e6, 0.02)}
    samples = sampled(machine, arms, max_seconds=60)
    summary = ratio(samples, "a", "b", 0.99)
    assert samples.converged
    assert samples.rounds > 20
    assert summary.relative_width <= 0.02
    assert summary.low <= 1 / 1.5 <= summary.high


def test_the_budget_of_time_ends_a_cell_and_says_it_did_not_converge():
    machine = Machine()
    arms = {"a": machine.arm("a", 1e6, 0.5), "b": machine.arm("b", 1e6, 0.5)}
    samples = sampled(machine, arms, max_seconds=0.3)
    assert not samples.converged
    assert machine.now < 0.6e9


def test_slow_calls_get_the_rounds_of_an_interval_in_overtime():
    machine = Machine()
    arms = {"a": machine.arm("a", 0.1e9), "b": machine.arm("b", 0.1e9)}
    samples = sampled(machine, arms, max_seconds=1, min_rounds=8)
    assert samples.rounds == 8
    assert machine.now > 1e9


def test_overtime_ends_too():
    machine = Machine()
    arms = {"a": machine.arm("a", 5e9), "b": machine.arm("b", 5e9)}
    assert sampled(machine, arms, max_seconds=1, min_rounds=8).rounds == 2


def test_it_never_stops_on_significance():
    # an obvious difference with wide noise goes on until the interval is narrow, not until it excludes 1
    machine = Machine()
    arms = {"a": machine.arm("a", 1e6, 0.05), "b": machine.arm("b", 9e6, 0.05)}
    assert sampled(machine, arms, max_seconds=600).rounds > 45


def test_the_arm_about_to_run_is_announced():
    machine, seen = Machine(), []
    arms = {"a": machine.arm("a", 1e6), "b": machine.arm("b", 1e6)}
    sample_arms(arms, "a", SamplerSettings(), seed=1, now_ns=lambda: machine.now, hooks=Hooks(entering=seen.append))
    visited = [name for name, _ in machine.visits]
    assert [name for name, following in zip(visited, [*visited[1:], ""], strict=True) if name != following]
    assert set(seen) == {"a", "b"}


@pytest.mark.parametrize("seed", range(3))
def test_identical_arms_are_not_told_apart(seed):
    machine = Machine(seed)
    arms = {"a": machine.arm("a", 1e6, 0.01), "b": machine.arm("b", 1e6, 0.01)}
    samples = sampled(machine, arms, max_seconds=60)
    assert ratio(samples, "a", "b", 0.99).verdict in ("same", "ambiguous")


def test_an_interrupted_sample_is_taken_again_at_once():
    machine = Machine()
    samples_of_b = iter(range(10**9))
    hooks = Hooks(interrupted=lambda name: name == "b" and next(samples_of_b) % 3 == 0)
    arms = {"a": machine.arm("a", 1e6), "b": machine.arm("b", 1e6)}
    samples = sample_arms(arms, "a", SamplerSettings(max_seconds=1.0), seed=1, now_ns=lambda: machine.now, hooks=hooks)
    assert (samples.rounds, samples.discarded) == (20, 0)
    assert sum(name == "b" for name, _ in machine.visits) > sum(name == "a" for name, _ in machine.visits)


def test_rounds_that_stay_disturbed_are_left_out_where_enough_others_remain():
    machine = Machine()
    # too long to be taken again
    turns = iter(range(10**9))
    hooks = Hooks(interrupted=lambda name: name == "a" and next(turns) % 3 == 0)
    arms = {"a": machine.arm("a", 5e6), "b": machine.arm("b", 5e6)}
    samples = sample_arms(arms, "a", SamplerSettings(max_rounds=30, target_relative_width=1e-12), seed=1,
                          now_ns=lambda: machine.now, hooks=hooks)  # fmt: skip
    assert (samples.rounds, samples.discarded) in ((13, 7), (20, 10))
    assert {len(values) for values in samples.total_ns.values()} == {samples.rounds}


def test_where_every_round_is_disturbed_all_count():
    machine = Machine()
    arms = {"a": machine.arm("a", 1e6), "b": machine.arm("b", 1e6)}
    samples = sample_arms(arms, "a", SamplerSettings(), seed=1, now_ns=lambda: machine.now,
                          hooks=Hooks(interrupted=lambda _: True))  # fmt: skip
    assert (samples.rounds, samples.discarded) == (20, 0)


def test_rounds_of_a_throttled_device_never_count():
    machine = Machine()
    turns = iter(range(10**9))
    arms = {"a": machine.arm("a", 1e6), "b": machine.arm("b", 1e6)}
    samples = sample_arms(arms, "a", SamplerSettings(), seed=1, now_ns=lambda: machine.now,
                          hooks=Hooks(acceptable=lambda: next(turns) % 2 == 0))  # fmt: skip
    assert (samples.rounds, samples.discarded) == (20, 19)


def test_known_calls_are_kept_and_only_warmed_up():
    machine = Machine()
    arms = {"a": machine.arm("a", 1e6), "b": machine.arm("b", 1e6)}
    samples = sample_arms(arms, "a", SamplerSettings(), seed=1, now_ns=lambda: machine.now, calls={"a": 7, "b": 2})
    assert samples.calls == {"a": 7, "b": 2}


def test_calls_come_in_the_multiples_that_an_arm_needs():
    machine = Machine()
    arms = {"a": machine.arm("a", 1e6), "b": machine.arm("b", 1e4)}
    samples = sample_arms(arms, "a", SamplerSettings(), seed=1, now_ns=lambda: machine.now, multiples={"a": 5, "b": 64})
    assert samples.calls == {"a": 5, "b": 320}
