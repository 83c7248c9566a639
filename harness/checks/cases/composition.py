"""Cells of ``composition``: few and tiny, since each way of composing may compile."""

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
    # a path that is taken under one of them alone forgets an option as easily as any other
    yield replace(base, ignored=0.5)
    if anchor.dtype == "float32" or thorough:
        yield replace(base, reduction="sum", ignored=0.25, weight="skewed", label_smoothing=0.1)
    if thorough:
        yield replace(base, reduction="none")
        yield replace(base, reduction="sum", label_smoothing=0.1)
