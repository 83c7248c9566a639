"""Sampling beside other work: samples shorter than the time slices of the others, and samples that nobody disturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from harness.timing.arm import Arm
from harness.timing.sampler import SamplerSettings

#: Length of a sample where others have the processor for part of the time.
SHORT_SAMPLE_NS = 200_000
_MORE_ROUNDS = 3
_PROBES, _PROBE_NS, _TOO_LONG_NS = 6, 1_500_000, 5_000_000


def is_contended(arm: Arm) -> bool:
    """Whether others have the processor for part of a third of samples of 1.5 ms or more.

    A call of 5 ms or more cannot be cut up, so it is not asked.
    """
    once = arm(1)
    if once > _TOO_LONG_NS:
        return False
    calls, interrupted = max(1, round(_PROBE_NS / max(1, once))), 0
    for _ in range(_PROBES):
        arm(calls)
        interrupted += arm.meter.interrupted
    return interrupted >= _PROBES // 3


def shortened(settings: SamplerSettings) -> SamplerSettings:
    """``settings`` with shorter samples and more of them.

    With five busy processes on two cores every round of 3 ms samples was disturbed, two in five of 0.4 ms ones and one
    in eight of 0.15 ms ones (measured, three arms).
    """
    return replace(
        settings,
        longest_sample_ns=SHORT_SAMPLE_NS,
        shortest_sample_ns=SHORT_SAMPLE_NS,
        max_rounds=_MORE_ROUNDS * settings.max_rounds,
    )


def interrupted(arms: Mapping[str, Arm]) -> Callable[[str], bool]:
    """A function that says whether the arm of a name lacked the processor during its last sample."""
    return lambda name: arms[name].meter.interrupted
