"""What a suite sees of a function of whole rows along one dimension. Torch-free."""

from __future__ import annotations

from harness.core.family import Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, DIM, UNREDUCED, axes, dim_in_range, refusal_of
from harness.losses.dense.cost import cost_of, memory_of


def rows_family(name: str, summary: str) -> Family:
    """The family called ``name`` of one tensor and its ``dim``, whose baseline is ``NAME_torch``."""
    return Family(
        name=name,
        summary=summary,
        axes=axes(UNREDUCED, DIM),
        options=(("dim", 1),),
        baseline=f"{name}_torch",
        refusal=refusal_of(further=dim_in_range),
        cost=cost_of(tensors=1, result=elements_or_scalar),
        memory=memory_of(tensors=1),
        arguments=("input",),
        tensor_options=(),
        checks=CHECKS,
        output=elements_or_scalar,
        cells=cells,
    )
