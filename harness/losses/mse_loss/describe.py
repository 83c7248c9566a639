"""Mean squared error as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.core.case import Case
from harness.core.family import Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, REDUCTION, axes, refusal_of, target_axis
from harness.losses.dense.cost import cost_of, memory_of

_TARGETS = ("values", "near")


def _both(case: Case) -> tuple[str, ...]:
    return ("logits", "target")


FAMILY = Family(
    name="mse_loss",
    summary="squared differences of two tensors (N, C, d1, …), as torch's F.mse_loss",
    axes=axes(REDUCTION, target_axis(*_TARGETS)),
    options=(("reduction", "mean"),),
    baseline="mse_torch",
    refusal=refusal_of(*_TARGETS),
    cost=cost_of(tensors=2, result=elements_or_scalar),
    memory=memory_of(tensors=2),
    arguments=("input", "target"),
    tensor_options=(),
    checks=CHECKS,
    output=elements_or_scalar,
    differentiable=_both,
    cells=cells,
)
