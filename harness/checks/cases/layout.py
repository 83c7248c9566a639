"""Own cells of check ``layout``: two dimensions, three to five dimensions, and probability targets."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.cases.own import own_case
from harness.core.case import Case

#: All sizes differ, so that no two dimensions can be mistaken for each other unnoticed.
DIMS = ((3,), (3, 4), (3, 4, 6))


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """One cell for each number of dimensions; each kind of support that a signature does not show has its own."""
    yield own_case(anchor, thorough, batch=5, classes=37)
    yield own_case(anchor, thorough, batch=5, classes=37, target="probability")
    yield own_case(anchor, thorough, batch=5, classes=37, weight="uniform")
    yield own_case(anchor, thorough, batch=5, classes=37, label_smoothing=0.1)
    for dims in DIMS:
        yield own_case(anchor, thorough, batch=2, classes=7, dims=dims)
