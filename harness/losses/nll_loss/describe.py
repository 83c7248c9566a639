"""Negative log-likelihood as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.core.case import Case
from harness.core.family import Family, rows_or_scalar
from harness.inputs import catalogue
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, IGNORE_INDEX, IGNORED, INDEX_TARGET, REDUCTION, WEIGHT, axes
from harness.losses.dense.cost import cost_of, memory_of


def _refusal(case: Case) -> str | None:
    if case.target not in INDEX_TARGET.allowed:
        return f"unknown target {case.target!r}; allowed: {', '.join(INDEX_TARGET.allowed)}"
    return catalogue.refusal(case)


FAMILY = Family(
    name="nll_loss",
    summary="minus the log-probability (N, C, d1, …) of the target's class, as torch's F.nll_loss",
    axes=axes(REDUCTION, INDEX_TARGET, WEIGHT, IGNORED, IGNORE_INDEX),
    options=(("weight", None), ("ignore_index", -100), ("reduction", "mean")),
    baseline="nll_torch",
    refusal=_refusal,
    cost=cost_of(tensors=1, result=rows_or_scalar, index=True),
    memory=memory_of(tensors=1),
    arguments=("input", "target"),
    checks=CHECKS,
    output=rows_or_scalar,
    cells=cells,
)
