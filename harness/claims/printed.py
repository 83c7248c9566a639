"""Figures as they were printed: what they say, and by how much they may be off for their rounding alone."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """One printed figure: its text, its value, and half a unit of its last digit."""

    text: str
    value: float
    half_unit: float
    decimals: int

    def agrees(self, found: float, reach: float = 0.0) -> bool:
        """Whether ``found``, printed to as many digits, could have read so, if its inputs let it move by ``reach``.

        A part in 10⁶ of the half unit is allowed besides, for what lies on the edge.
        """
        return abs(found - self.value) <= self.half_unit * (1 + 1e-6) + reach

    def off(self, found: float) -> float:
        """How far ``found`` is off, in units of the last digit."""
        return abs(found - self.value) / (2 * self.half_unit)


def read_figure(text: str) -> Printed:
    """The figure that ``text`` prints, e.g. ``-0.2800``: its last digit is the fourth after the point.

    Raises:
        ValueError: no number.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number") from None
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int):
        raise ValueError(f"{text!r} has no last digit")
    return Printed(text=text, value=float(number), half_unit=0.5 * 10.0**exponent, decimals=max(0, -exponent))


def read_table(text: str) -> list[list[Printed]]:
    """A table: rows by line, figures by blanks.

    Raises:
        ValueError: a figure is no number, or rows differ in length.
    """
    rows = [
        [read_figure(word) for word in line.replace(",", " ").split()] for line in text.splitlines() if line.strip()
    ]
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        raise ValueError("rows of different length, or none")
    return rows
