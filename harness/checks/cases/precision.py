"""Own cells of check ``precision``: one that grows in rows, one in classes."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.cases.own import own_case
from harness.core.case import INTERPRETER, Case

ROWS = (("grows", "rows"),)
CLASSES = (("grows", "classes"),)


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """The largest sizes are those of the cells; the interpreter gets a tenth of the rows."""
    rows = 1024 if anchor.device == INTERPRETER and not thorough else 16384
    yield own_case(anchor, thorough, batch=rows, classes=6, options=ROWS)
    yield own_case(anchor, thorough, batch=4, classes=16384 if not thorough else 131072, options=CLASSES)
