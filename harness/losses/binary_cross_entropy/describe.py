"""Binary cross-entropy of probabilities as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.core.case import Case
from harness.core.family import Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, REDUCTION, WEIGHT, axes, refusal_of, target_axis
from harness.losses.dense.cost import cost_of, memory_of

_TARGETS = ("binary", "probability")


def _finite(case: Case) -> str | None:
    if case.regime.partition(":")[0] == "nonfinite":
        return "regime=nonfinite makes probabilities that are NaN, which binary_cross_entropy refuses with an error"
    return None


def _both(case: Case) -> tuple[str, ...]:
    return ("logits", "target")


FAMILY = Family(
    name="binary_cross_entropy",
    summary="multi-label: binary cross-entropy of every probability, as torch's F.binary_cross_entropy",
    axes=axes(REDUCTION, target_axis(*_TARGETS), WEIGHT),
    options=(("weight", None), ("reduction", "mean")),
    baseline="bce_torch",
    refusal=refusal_of(*_TARGETS, further=_finite),
    cost=cost_of(tensors=2, result=elements_or_scalar),
    memory=memory_of(tensors=2),
    arguments=("input", "target"),
    checks=CHECKS,
    output=elements_or_scalar,
    differentiable=_both,
    cells=cells,
)
