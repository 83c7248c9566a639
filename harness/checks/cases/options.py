"""Own cells of check ``options``: one for each set of options away from their defaults, by kind of target."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

from harness.checks.cases.own import own_case
from harness.core.case import Case

#: Small sizes keep a single wrong row large in a mean; a quarter of 7 classes have weight 0, 3 of 12 rows are ignored.
BATCH, CLASSES = 12, 7


def cases(anchor: Case, thorough: bool) -> Iterator[Case]:
    """Every set in float32 or when thorough; in the other dtypes none and all of them."""
    every = anchor.dtype == "float32" or thorough
    for target in ("uniform", "probability"):
        for weighted, smoothed, ignoring in product((False, True), repeat=3):
            if ignoring and target == "probability":
                continue  # probabilities have no class index to be ignored
            chosen = {weighted, smoothed, *(() if target == "probability" else (ignoring,))}
            if not every and len(chosen) > 1:
                continue
            yield own_case(
                anchor, thorough, batch=BATCH, classes=CLASSES, target=target,
                weight="zeros" if weighted else "none", label_smoothing=0.1 if smoothed else 0.0,
                ignored=0.25 if ignoring else 0.0,
            )  # fmt: skip
