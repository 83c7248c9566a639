"""One arm's clock, with what else a sample shows: processor time, page faults, and host time beside the device's."""

from __future__ import annotations

import resource
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter_ns, thread_time_ns
from typing import Any

import torch

#: Below this share of the wall time on the processor, a sample was interrupted: others had the core.
STARVED_BELOW = 0.9

#: Reads (processor ns of this thread, minor page faults of the process).
Gauges = Callable[[], tuple[int, int]]


def host_gauges() -> tuple[int, int]:
    """The gauges of this process; a reading costs about a microsecond."""
    return thread_time_ns(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@dataclass(slots=True)
class Meter:
    """Clocks the parts of a sample and sums them up; one reading per sample.

    ``device`` is ``cpu`` or a CUDA device; ``clock`` and ``gauges`` can be fakes.
    """

    device: str = "cpu"
    clock: Callable[[], int] = perf_counter_ns
    gauges: Gauges = host_gauges
    wall_ns: list[int] = field(default_factory=list)
    processor_ns: list[int] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)
    host_ns: list[int] = field(default_factory=list)
    calls: int = 0
    _part: list[int] = field(default_factory=lambda: [0, 0, 0, 0])

    def clocked(self, run: Callable[[], object]) -> None:
        """Run ``run`` on the clock, as one part of the sample under way."""
        if self.device.startswith("cuda"):
            elapsed, host = _cuda_elapsed(run)
            self._add(elapsed, 0, 0, host)
            return
        processor, faults = self.gauges()
        begin = self.clock()
        run()
        elapsed = self.clock() - begin
        processor_end, faults_end = self.gauges()
        self._add(elapsed, processor_end - processor, faults_end - faults, 0)

    def finish(self, calls: int) -> int:
        """End the sample of ``calls`` calls and return its elapsed ns."""
        wall, processor, faults, host = self._part
        self._part = [0, 0, 0, 0]
        self.wall_ns.append(wall)
        self.processor_ns.append(processor)
        self.faults.append(faults)
        self.host_ns.append(host)
        self.calls += calls
        return wall

    @property
    def interrupted(self) -> bool:
        """Whether the last sample lacked the processor for a tenth of its time; never so on CUDA."""
        if not self.wall_ns or self.device.startswith("cuda"):
            return False
        return self.processor_ns[-1] < STARVED_BELOW * self.wall_ns[-1]

    def forget(self) -> None:
        """Drop the readings so far (those of the warm-up)."""
        self.wall_ns, self.processor_ns, self.faults, self.host_ns, self.calls = [], [], [], [], 0

    def figures(self, calls_per_sample: int) -> dict[str, Any]:
        """``page_faults_per_call``, ``cpu_wall_ratio`` and ``starved_share`` on the host; ``host_ns`` on CUDA."""
        if not self.wall_ns:
            return {}
        if self.device.startswith("cuda"):
            return {"host_ns": round(median(self.host_ns) / calls_per_sample, 1)}
        ratios = [processor / max(1, wall) for wall, processor in zip(self.wall_ns, self.processor_ns, strict=True)]
        return {
            "page_faults_per_call": round(median(self.faults) / calls_per_sample, 3),
            "cpu_wall_ratio": round(median(ratios), 4),
            "starved_share": round(sum(ratio < STARVED_BELOW for ratio in ratios) / len(ratios), 4),
        }

    def _add(self, *values: int) -> None:
        self._part = [a + b for a, b in zip(self._part, values, strict=True)]


def _cuda_elapsed(run: Callable[[], object]) -> tuple[int, int]:
    """(device ns between two events, host ns of issuing the work).

    The whole device is waited for, so work on other streams counts too: where the events saw much less than the
    device was busy, the host's clock is taken.
    """
    torch.cuda.synchronize()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    started = perf_counter_ns()
    begin.record()
    run()
    end.record()
    issued = perf_counter_ns() - started
    torch.cuda.synchronize()
    waited = perf_counter_ns() - started
    device = max(int(begin.elapsed_time(end) * 1e6), 1)
    return (device if waited < 3 * device + 100_000 else waited), issued
