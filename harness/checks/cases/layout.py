"""Own cells of check ``layout``: two dimensions, three to five dimensions, and probability targets."""

from __future__ import annotations

from collections.abc import Iterator

from harness.checks.cases.own import own_case
from harness.core.case import Case

#: All sizes differ, so that no two dimensions can be mistaken for each other unnoticed. With a row and a class less the
#: last of three is as long as the classes: what runs along it is then a wrong number and no error.
BATCH, CLASSES, DIMS = 5, 7, ((3,), (3, 2), (3, 2, 6))


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Cells for each number of dimensions; each kind of support that a signature does not show has its own.

    All options at once where there are several dimensions: a kernel flattens them by a path of its own.
    """
    yield own_case(anchor, thorough, batch=5, classes=37)
    yield own_case(anchor, thorough, batch=5, classes=37, target="probability")
    yield own_case(anchor, thorough, batch=5, classes=37, weight="uniform")
    yield own_case(anchor, thorough, batch=5, classes=37, label_smoothing=0.1)
    yield own_case(anchor, thorough, batch=5, classes=37, ignored=0.4, ignore_index=3)
    # what squeezes sizes of 1 loses two of these
    yield own_case(anchor, thorough, batch=1, classes=CLASSES, dims=(3, 1))
    for dims in DIMS:
        yield own_case(anchor, thorough, batch=BATCH, classes=CLASSES, dims=dims)
        if anchor.dtype == "float32" or thorough:
            together = {"batch": BATCH, "classes": CLASSES, "dims": dims, "weight": "skewed", "label_smoothing": 0.1}
            yield own_case(anchor, thorough, ignored=0.25, ignore_index=3, **together)
            yield own_case(anchor, thorough, target="probability", **together)
