"""Cells of ``side_effects``: every layout whose gaps could be written into, both kinds of target, with weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import Case


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Small cells; memory and state are looked at on the first of them."""
    base = Case(loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=6, classes=11)
    yield base
    yield replace(base, reduction="none", layout="padded")
    yield replace(base, weight="skewed", ignored=0.25)
    if anchor.dtype == "float32" or thorough:
        yield replace(base, reduction="none", layout="sliced", ignored=0.25)
        yield replace(base, target="probability", weight="uniform", reduction="none")
    if thorough:
        yield replace(base, batch=64, classes=1000)
        yield replace(base, dims=(3,), layout="transposed")
        yield replace(base, label_smoothing=0.1)
