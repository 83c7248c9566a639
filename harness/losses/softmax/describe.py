"""Softmax as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.core.family import Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, DIM, UNREDUCED, axes, dim_in_range, refusal_of
from harness.losses.dense.cost import cost_of, memory_of

FAMILY = Family(
    name="softmax",
    summary="exp(x) / Σ exp(x) along one dimension, as torch's F.softmax",
    axes=axes(UNREDUCED, DIM),
    options=(("dim", 1),),
    baseline="softmax_torch",
    refusal=refusal_of(further=dim_in_range),
    cost=cost_of(tensors=1, result=elements_or_scalar),
    memory=memory_of(tensors=1),
    arguments=("input",),
    tensor_options=(),
    checks=CHECKS,
    output=elements_or_scalar,
    cells=cells,
)
