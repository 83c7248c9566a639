"""What the command line adds to a suite."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line adds to a suite."""

    implementations: tuple[str, ...] = ()
    device: str | None = None
    only: str | None = None
    shard: tuple[int, int] | None = None
    cells: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    grade: str | None = None
    fail_fast: bool = False
    thorough: bool = False
    capture: str | None = None
