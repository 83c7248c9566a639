"""Printed figures: the tolerance is half a unit of the last digit printed, trailing zeros included."""

from __future__ import annotations

import pytest

from harness.claims.printed import read_figure, read_table


@pytest.mark.parametrize(
    ("text", "value", "half_unit"),
    [("1.7886", 1.7886, 5e-5), ("-0.2800", -0.28, 5e-5), ("3", 3.0, 0.5), ("-0.3", -0.3, 0.05)],
)
def test_the_tolerance_comes_from_the_digits_printed(text: str, value: float, half_unit: float) -> None:
    figure = read_figure(text)
    assert figure.value == value
    assert figure.half_unit == pytest.approx(half_unit)


def test_a_figure_agrees_with_what_rounds_to_it_and_with_nothing_else() -> None:
    figure = read_figure("53.7032")
    assert figure.agrees(53.70324)
    assert not figure.agrees(53.70326)
    assert not figure.agrees(53.7853)
    assert figure.agrees(53.70326, reach=1e-4)
    assert figure.off(53.7853) == pytest.approx(821.0)


@pytest.mark.parametrize("text", ["", "1 2\n3", "1 two", "nan"])
def test_a_table_of_anything_but_even_rows_of_numbers_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"number|length|digit"):
        read_table(text)
