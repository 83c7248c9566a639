"""Cells of ``repeatability``: rows whose losses can be told apart, and a reduction with ignored rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import Case


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """A plain cell and one with ignored rows, whose outputs a kernel may forget to write."""
    base = Case(loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=8, classes=33)
    yield replace(base, reduction="none")
    yield replace(base, reduction="none", ignored=0.25)
    if anchor.dtype == "float32" or thorough:
        yield base
    if thorough:
        yield replace(base, batch=64, classes=1000)
        yield replace(base, batch=300, classes=4097, reduction="none")
