"""Cells of ``grad_output``: losses of one and two dimensions, reduced ones, and options by kind of target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import Case


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Small cells, all with upstream gradients to follow; the rest of the shape is of no account here."""
    base = Case(loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=6, classes=11)
    yield replace(base, reduction="none")
    yield base
    if anchor.dtype == "float32" or thorough:
        yield replace(base, reduction="sum")
        yield replace(base, batch=4, classes=5, dims=(7,), reduction="none")
        yield replace(base, reduction="none", ignored=0.25, label_smoothing=0.1)
        yield replace(base, weight="skewed", ignored=0.25)
        yield replace(base, weight="skewed", reduction="none", label_smoothing=0.1)
        yield replace(base, target="probability", weight="uniform")
        yield replace(base, target="probability", label_smoothing=0.1)
        yield replace(base, target="probability", weight="skewed", reduction="none", label_smoothing=0.1)
    yield replace(base, target="probability", reduction="none")
    if thorough:
        yield replace(base, classes=1000, reduction="none")
        yield replace(base, batch=2, classes=5, dims=(3, 4), reduction="none")
