"""Cells of ``honesty``: one small one to call often, and one large enough for unfinished work to be seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from harness.core.case import INTERPRETER, Case


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """The dtype has little part in what games a harness: float32, and one half."""
    if anchor.dtype not in ("float32", "bfloat16") and not thorough:
        return
    base = Case(loss=anchor.loss, device=anchor.device, dtype=anchor.dtype, batch=8, classes=32)
    yield base
    if anchor.dtype == "float32":
        yield replace(base, reduction="none")
        slow = anchor.device == INTERPRETER
        yield replace(base, batch=16 if slow else 256, classes=1024 if slow else 4096)
