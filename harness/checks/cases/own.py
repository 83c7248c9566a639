"""What the own cells of all checks have in common."""

from __future__ import annotations

from typing import Any

from harness.core.case import Case
from harness.losses.cells import EVERYTHING


def own_case(anchor: Case, thorough: bool, *, batch: int, classes: int, **axes: Any) -> Case:
    """A cell of ``anchor``'s loss, device and dtype, with everything else at its default but ``axes``.

    Row losses are judged with an upstream gradient that differs from row to row, scalar ones with -2.5.
    """
    options = (*axes.pop("options", ()), *(EVERYTHING if thorough else ()))
    return Case(
        loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=batch, classes=classes,
        grad_output=axes.pop("grad_output", "random"), options=options, **axes,
    )  # fmt: skip
