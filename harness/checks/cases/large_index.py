"""Own cells of check ``large_index``: far strides over little memory, and as many elements as 32 bits can count."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.cases.own import own_case
from harness.core.case import INTERPRETER, Case

FAR = (("index", "far"),)
WIDE = (("index", "wide"),)
#: 2^15 rows of 2^16 classes are 2^31 elements.
CLASSES = 1 << 16


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Far strides everywhere; 2^31 elements where a GPU makes them quick, or when thorough, in float32 and bfloat16."""
    yield own_case(anchor, thorough, batch=5, classes=33, options=FAR)
    yield own_case(anchor, thorough, batch=2, classes=5, dims=(3,), options=FAR)
    if anchor.device == INTERPRETER or anchor.dtype not in ("float32", "bfloat16"):
        return
    if thorough or anchor.device.startswith("cuda"):
        yield own_case(anchor, thorough, batch=4, classes=CLASSES, reduction="none", options=WIDE)
