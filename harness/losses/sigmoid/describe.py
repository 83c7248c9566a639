"""The logistic function as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.core.family import Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, UNREDUCED, axes, refusal_of
from harness.losses.dense.cost import cost_of, memory_of

FAMILY = Family(
    name="sigmoid",
    summary="1 / (1 + exp(-x)) of each entry, as torch.sigmoid",
    axes=axes(UNREDUCED),
    options=(),
    baseline="sigmoid_torch",
    refusal=refusal_of(),
    cost=cost_of(tensors=1, result=elements_or_scalar),
    memory=memory_of(tensors=1),
    arguments=("input",),
    tensor_options=(),
    checks=CHECKS,
    output=elements_or_scalar,
    cells=cells,
)
