"""What would quieten this machine: read from its settings and from the noise that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.doctor.analyse import Noise

#: A load of others above this share of the cores shows in the samples.
_BUSY = 0.25
_STOLEN = 0.02


def advice(facts: Mapping[str, Any], noise: Sequence[Noise]) -> list[str]:
    """Lines of advice, most useful first; empty where nothing is to be done."""
    found = []
    cores = int(facts.get("cores") or 1)
    load = facts.get("load_average") or [0.0]
    if load[0] > _BUSY * cores:
        found.append(f"other work is running (load {load[0]:.1f} on {cores} cores before the measurement): end it")
    by_threads = {one.threads: one for one in noise}
    if len(by_threads) > 1:
        one, most = by_threads[min(by_threads)], by_threads[max(by_threads)]
        if most.sigma > 2 * one.sigma:
            found.append(
                f"{most.threads} threads are {most.sigma / max(one.sigma, 1e-9):.0f} times as noisy as {one.threads}: "
                "each parallel region waits for the core that others use; "
                "time on one: taskset -c 1 python -m harness run …"
            )
    if float(facts.get("steal_share") or 0.0) > _STOLEN:
        found.append(f"the host took {facts['steal_share']:.0%} of the time: a dedicated machine would not")
    if facts.get("governor") not in (None, "", "performance"):
        found.append(f"the clock governor is {facts['governor']}: sudo cpupower frequency-set -g performance")
    if facts.get("turbo") is True:
        found.append("turbo clocks vary with heat: write 1 to /sys/devices/system/cpu/intel_pstate/no_turbo")
    allocator = facts.get("allocator") or {}
    if allocator.get("name") == "glibc" and allocator.get("transparent_huge_pages") != "always":
        found.append(
            "first-touch page faults are in every figure above 32 MB: THP_MEM_ALLOC_ENABLE=1, or "
            "MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1, takes most of them out "
            "(and changes what is measured: say so)"
        )
    if facts.get("cuda") and not facts.get("clocks"):
        found.append("GPU clocks cannot be read, so throttled samples cannot be discarded: pip install nvidia-ml-py")
    return found
