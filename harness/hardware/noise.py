"""What disturbs a measurement, as the operating system counts it: time stolen by the host, and by other processes."""

from __future__ import annotations

from pathlib import Path

#: (ticks stolen by the host, ticks in all) of every core together.
Ticks = tuple[int, int]

_STEAL = 7


def steal_ticks(path: Path = Path("/proc/stat")) -> Ticks:
    """The counts so far; (0, 0) where the system does not tell."""
    try:
        with path.open(encoding="ascii") as stream:
            fields = [int(value) for value in stream.readline().split()[1:]]
    except (OSError, ValueError):
        return 0, 0
    # guest time is counted in user time already
    return (fields[_STEAL] if len(fields) > _STEAL else 0), sum(fields[: _STEAL + 1])


def steal_share(before: Ticks, after: Ticks) -> float:
    """Share of the time between two counts that the host took away from this machine."""
    passed = after[1] - before[1]
    return max(0, after[0] - before[0]) / passed if passed > 0 else 0.0
