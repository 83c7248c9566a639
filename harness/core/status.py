"""The ten outcomes a cell can have, and the exit status each asks for."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Status(StrEnum):
    """What became of one cell and implementation; every status but ``passed`` carries a reason."""

    PASSED = "passed"
    FAILED = "failed"
    DECLARED = "declared"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    RAISED = "raised"
    OUT_OF_MEMORY = "out_of_memory"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    SKIPPED = "skipped"


#: Statuses that mean the implementation was at fault (or could not be cleared) in a cell it was asked to do.
FAULTS = frozenset({Status.FAILED, Status.RAISED, Status.CRASHED, Status.TIMED_OUT, Status.OUT_OF_MEMORY})

#: Statuses under which a cell's answer is good enough for its speed to be shown.
ADMITTED = frozenset({Status.PASSED, Status.DECLARED})

#: Worst first: the status of a cell is the first of these that any of its verdicts has.
SEVERITY = (
    Status.CRASHED,
    Status.TIMED_OUT,
    Status.OUT_OF_MEMORY,
    Status.RAISED,
    Status.FAILED,
    Status.UNAVAILABLE,
    Status.UNSUPPORTED,
    Status.SKIPPED,
    Status.DECLARED,
    Status.PASSED,
)

EXIT_AS_EXPECTED = 0
EXIT_FAULT = 1
EXIT_USAGE = 2
EXIT_NOTHING_RAN = 3
EXIT_INCONCLUSIVE = 4


def worst(statuses: Iterable[Status]) -> Status:
    """The most severe of ``statuses``.

    Raises:
        ValueError: ``statuses`` is empty.
    """
    found = set(statuses)
    for status in SEVERITY:
        if status in found:
            return status
    raise ValueError("worst() of no statuses")


def exit_code(statuses: Iterable[Status]) -> int:
    """The process exit status for a run whose outcomes were ``statuses``: 1 a fault, 3 nothing could run, else 0."""
    found = set(statuses)
    if found & FAULTS:
        return EXIT_FAULT
    if found & {Status.PASSED, Status.DECLARED}:
        return EXIT_AS_EXPECTED
    return EXIT_NOTHING_RAN
