"""Own cells of check ``ignored``: one for each set of options beside ignore_index, and two for the least sizes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from harness.checks.cases.own import own_case
from harness.core.case import Case

#: Marks the cells on which the smallest sizes are asked, which need no option.
EDGES = (("edges", True),)


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Weights and smoothing each on their own in float32 or when thorough; in the other dtypes neither or both."""
    every = anchor.dtype == "float32" or thorough
    for weighted, smoothed in product((False, True), repeat=2):
        if every or weighted == smoothed:
            yield own_case(
                anchor, thorough, batch=10, classes=7, ignored=0.4,
                weight="skewed" if weighted else "none", label_smoothing=0.1 if smoothed else 0.0,
            )  # fmt: skip
    for target in ("uniform", "probability"):
        yield own_case(anchor, thorough, batch=1, classes=1, target=target, options=EDGES)
