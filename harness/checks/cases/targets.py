"""Own cells of check ``targets``: one for each kind of invalid target, as each may end the process it is asked in."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.cases.own import own_case
from harness.core.case import Case

#: The invalid class index: C itself, -1, and 2^32 + 1, which is 1 to whoever keeps 32 bits of it.
KINDS = ("C", "-1", "huge")


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """All kinds in float32 or when thorough, else the class just above the range; the last needs ``ignore_index``."""
    every = anchor.dtype == "float32" or thorough
    for kind in KINDS if every else ("C",):
        yield own_case(anchor, thorough, batch=6, classes=300, options=(("invalid", kind),))
    if every:
        # the default sentinel is a plain invalid target once another one is chosen
        yield own_case(
            anchor, thorough, batch=6, classes=300, ignore_index=7, ignored=0.2, options=(("invalid", "-100"),)
        )
