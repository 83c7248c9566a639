"""Own cells of check ``sizes``: sweeps over numbers of classes, far targets, and more rows than a grid holds."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.cases.own import own_case
from harness.core.case import INTERPRETER, Case
from harness.losses.cells import SWEPT

#: Marks the cell whose targets stand far out.
FAR = (("targets", "far"),)
#: Numbers of classes up to this are swept, all of them when thorough.
LARGEST = 1100


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Two sweeps, and plain cells of many rows or classes.

    4097 rows exceed a tile of them, 65537 the second dimension of a grid.
    """
    yield own_case(anchor, thorough, batch=3, classes=LARGEST, options=SWEPT)
    yield own_case(anchor, thorough, batch=3, classes=LARGEST, options=FAR)
    if anchor.device == INTERPRETER and not thorough:
        return  # it runs a program of a kernel in about a millisecond
    yield own_case(anchor, thorough, batch=4097, classes=5)
    if anchor.dtype == "float32" or thorough:
        yield own_case(anchor, thorough, batch=65537, classes=3)
        # more than 2^20 logits and 2^16 classes; and one row of many classes, as when decoding
        yield own_case(anchor, thorough, batch=16, classes=65600)
        yield own_case(anchor, thorough, batch=1, classes=4100)
