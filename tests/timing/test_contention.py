"""Samples beside other work, on fake arms."""

from __future__ import annotations

from types import SimpleNamespace

from harness.timing.contention import SHORT_SAMPLE_NS, is_contended, shortened, undisturbed
from harness.timing.meter import Meter
from harness.timing.sampler import SamplerSettings


class FakeArm:
    """Each sample gets the share of the processor that stands next in ``shares``."""

    def __init__(self, shares, call_ns=100_000):
        self.shares, self.call_ns, self.meter = iter(shares), call_ns, Meter()

    def __call__(self, calls):
        elapsed = calls * self.call_ns
        self.meter.wall_ns.append(elapsed)
        self.meter.processor_ns.append(int(next(self.shares) * elapsed))
        return elapsed


def test_a_machine_of_ones_own_is_not_contended():
    assert not is_contended(FakeArm([1.0] * 20))
    assert not is_contended(FakeArm([1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]))


def test_a_shared_processor_is_noticed():
    assert is_contended(FakeArm([1.0, 0.5, 0.4, 0.6, 0.5, 1.0, 1.0, 1.0]))


def test_long_calls_are_not_asked():
    assert not is_contended(FakeArm([0.1] * 20, call_ns=50_000_000))


def test_shorter_samples_are_more_samples():
    short = shortened(SamplerSettings(sample_ns=4_000_000, max_rounds=320))
    assert (short.sample_ns, short.max_rounds) == (SHORT_SAMPLE_NS, 3200)


def test_a_round_is_undisturbed_when_every_arm_had_the_processor():
    good, bad = (SimpleNamespace(meter=SimpleNamespace(interrupted=flag)) for flag in (False, True))
    assert undisturbed([good, good])()
    assert not undisturbed([good, bad])()
