"""Samples beside other work, on fake arms."""

from __future__ import annotations

from types import SimpleNamespace

from harness.timing.contention import SHORT_SAMPLE_NS, interrupted, is_contended, shortened
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
    long = SamplerSettings(max_rounds=320, max_seconds=60.0)
    short = shortened(long)
    assert long.sample_ns(2) == long.longest_sample_ns
    assert (short.sample_ns(2), short.sample_ns(9)) == (SHORT_SAMPLE_NS, SHORT_SAMPLE_NS)
    assert short.max_rounds > long.max_rounds


def test_each_arm_is_asked_whether_it_had_the_processor():
    good, bad = (SimpleNamespace(meter=SimpleNamespace(interrupted=flag)) for flag in (False, True))
    asked = interrupted({"good": good, "bad": bad})
    assert not asked("good")
    assert asked("bad")
