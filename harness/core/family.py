"""What a loss family says of itself without torch: its axes, its options, its cost and its memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.core.case import Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis that a suite may sweep: its YAML name, default, kind and allowed values.

    ``kind`` is ``int``, ``float``, ``str`` or ``choice``; ``allowed`` lists the choices (a trailing ``*`` allows any
    ending, as in ``captured:*``); ``minimum`` and ``maximum`` bound numbers, both inclusive.
    """

    name: str
    kind: str
    summary: str
    default: str | int | float | None = None
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Least work of one pass: bytes that must be read and written, and floating-point operations of matrix products."""

    read_bytes: int
    write_bytes: int
    flops: int = 0

    @property
    def total_bytes(self) -> int:
        """Bytes read plus bytes written."""
        return self.read_bytes + self.write_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A loss family: what a suite may ask of it and what that costs.

    ``options`` are the keyword options of its specification with their defaults; an implementation whose signature
    lacks one is ``unsupported`` in cells that need it. ``refusal`` returns why a combination of axes has no meaning
    (else None); ``cost`` the least work of a case's pass; ``memory`` the bytes that judging a case needs.
    """

    name: str
    summary: str
    axes: tuple[Axis, ...]
    options: tuple[tuple[str, str | int | float | None], ...]
    baseline: str
    refusal: Callable[[Case], str | None]
    cost: Callable[[Case], Cost]
    memory: Callable[[Case], int]

    def axis(self, name: str) -> Axis | None:
        """The axis called ``name``, or None."""
        return next((axis for axis in self.axes if axis.name == name), None)
