"""Cells of ``relations``: each is the starting point of some relations, all of them unreduced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import Case


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Rows of a few classes, and of enough classes for more than one tile; two dimensions; one-hot targets."""
    base = Case(loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=6, classes=12, reduction="none")
    yield base
    if anchor.dtype == "float32" or thorough:
        yield replace(base, batch=4, classes=333)
        yield replace(base, batch=2, dims=(3,))
        yield replace(base, target="one_hot")
    if thorough:
        yield replace(base, classes=2)
        yield replace(base, classes=1025)
        yield replace(base, batch=33, classes=70)
