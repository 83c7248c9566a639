"""Samples that a worker measured, played to ``benchmark.pedantic`` by a clock and a target that moves it.

pytest-benchmark would otherwise time this process, which runs no implementation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.core.outcome import Outcome
from harness.store import Samples

#: Figures of a timing that go into pytest-benchmark's ``extra_info``.
EXTRA = (
    "baseline", "median_ns", "speedup", "speedup_low", "speedup_high", "verdict", "sigma", "detectable_slowdown",
    "rounds", "calls_per_sample", "converged", "cache", "cache_reason", "threads", "peak_bytes", "saved_bytes",
    "first_call_ns", "least_bytes", "bandwidth_bytes_per_s", "roofline_fraction",
)  # fmt: skip


class Replay:
    """One implementation's samples as a clock in seconds, and a target each of whose calls takes the time measured."""

    def __init__(self) -> None:
        self._durations_s: list[float] = []
        self._called = 0
        self._now_s = 0.0

    def load(self, per_call_ns: Sequence[float]) -> None:
        """Play these times of one call from the first on."""
        self._durations_s, self._called = [value / 1e9 for value in per_call_ns], 0

    def clock(self) -> float:
        """Seconds since the replay began, by the calls played."""
        return self._now_s

    def call(self) -> None:
        """The next call; one more than were measured takes no time (a profiler asks for it)."""
        if self._called < len(self._durations_s):
            self._now_s += self._durations_s[self._called]
        self._called += 1


def play(benchmark: Any, replay: Replay, outcome: Outcome, samples: Sequence[Samples]) -> None:
    """Give ``benchmark`` (pytest-benchmark's fixture) the samples, and our figures as extra information."""
    per_call_ns = per_call(samples, outcome.implementation)
    replay.load(per_call_ns)
    benchmark.name = outcome.implementation
    benchmark.extra_info.update({"cell": outcome.cell, "implementation": outcome.implementation})
    benchmark.extra_info.update({name: outcome.metrics[name] for name in EXTRA if name in outcome.metrics})
    benchmark.pedantic(replay.call, rounds=len(per_call_ns))


def per_call(samples: Sequence[Samples], implementation: str) -> list[float]:
    """Nanoseconds of one call, per sample, from every process that sampled."""
    return [
        value / half.calls_per_sample[implementation]
        for half in samples
        for value in half.samples_ns.get(implementation, ())
    ]
