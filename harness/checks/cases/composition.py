"""Cells of ``composition``: one tiny cell, since each way of composing may compile."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import Case


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Eight rows, so that the mean's 1/N is exact in every dtype; the others trace the backward as well."""
    if anchor.dtype not in ("float32", "bfloat16") and not thorough:
        return
    base = Case(loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=8, classes=12)
    yield base
    if thorough:
        yield replace(base, reduction="none")
        yield replace(base, reduction="sum", label_smoothing=0.1)
