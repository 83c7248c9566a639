"""The family of a declared loss. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import prod

from harness.core.case import Case, dtype_bytes
from harness.core.family import Axis, Cost, Family, elements_or_scalar, rows_or_scalar
from harness.inputs import catalogue
from harness.losses.cells import cells
from harness.losses.cross_entropy.describe import AXES
from harness.losses.dense.axes import CHECKS, REDUCTION, UNREDUCED, axes
from harness.registry.own import OwnLoss

#: float64 arrays of the inputs' size that judging keeps: values, results and gradients of a probe, and the truth.
_ARRAYS = 12


def family_of_own(own: OwnLoss) -> Family:
    """The family that ``own`` declares: its axes are those of any loss, and its options."""
    options = dict(own.options)
    reduces = "reduction" in options
    reduction = replace(REDUCTION, default=options["reduction"]) if reduces else UNREDUCED
    more = [_axis(own, name) for name in options if name != "reduction"]
    indexed = "index" in dict(own.tensors).values()
    has_target = len(own.tensors) > 1
    known = {axis.name: axis for axis in AXES}
    target = [replace(known["target"], allowed=("uniform", "zipf", "first", "last"))] if indexed else []
    if has_target and not indexed:
        kind = own.tensors[-1][1]
        target = [Axis(name="target", kind="choice", summary="as declared", default=kind, allowed=(kind,))]
    return Family(
        name=own.name,
        summary=own.summary,
        axes=tuple(_without_float64(axis) for axis in axes(reduction, *target, *more)),
        options=own.options,
        baseline="",
        refusal=_refusal_of(own),
        cost=_cost_of(own),
        memory=lambda case: case.elements * 8 * _ARRAYS * len(own.tensors),
        arguments=tuple(name for name, _ in own.tensors),
        tensor_options=(),
        # nobody has said how a declared loss must change
        checks=tuple(check for check in CHECKS if check != "relations"),
        output=_output(own),
        cells=cells,
    )


def _axis(own: OwnLoss, name: str) -> Axis:
    default, allowed = dict(own.options)[name], dict(own.choices).get(name, ())
    kind = "choice" if allowed else {bool: "bool", int: "int", float: "float"}[type(default)]
    return Axis(name=name, kind=kind, summary="option of the loss", default=default, allowed=allowed)


def _without_float64(axis: Axis) -> Axis:
    """The reference runs in float64, so it cannot judge float64."""
    if axis.name != "dtype":
        return axis
    return replace(axis, allowed=tuple(dtype for dtype in axis.allowed if dtype != "float64"))


def _refusal_of(own: OwnLoss) -> Callable[[Case], str | None]:
    def refusal(case: Case) -> str | None:
        if case.dtype == "float64":
            return "the reference of a declared loss runs in float64, and cannot judge float64 itself"
        if case.dims and not own.dims:
            return f"{own.name} is declared for two dimensions (say dims=True where it takes more)"
        return catalogue.refusal(replace(case, target="uniform" if case.target_kind == "probability" else case.target))

    return refusal


def _output(own: OwnLoss) -> Callable[[Case], tuple[int, ...]]:
    shapes = {"rows": rows_or_scalar, "elements": elements_or_scalar, "scalar": lambda case: ()}
    return shapes[own.result]


def _cost_of(own: OwnLoss) -> Callable[[Case], Cost]:
    def cost(case: Case) -> Cost:
        size = dtype_bytes(case.dtype)
        sizes = {"index": case.rows * 8, "per_class": case.classes * size}
        read = int(own.passes_read * sum(sizes.get(kind, case.elements * size) for _, kind in own.tensors))
        result = prod(_output(own)(case)) * size
        gradient = case.elements * size
        if case.pass_ == "backward":
            return Cost(read_bytes=read + result, write_bytes=gradient)
        return Cost(read_bytes=read, write_bytes=result + (gradient if case.needs_gradient else 0))

    return cost
