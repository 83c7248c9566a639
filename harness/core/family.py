"""What a loss family says of itself without torch: its axes, its options, its cost and its memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.core.case import Case, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """One axis that a suite may sweep: its YAML name, default, kind and allowed values.

    ``kind`` is ``int``, ``float``, ``bool``, ``str`` or ``choice``; ``allowed`` lists the choices (a trailing ``*``
    allows any ending, as in ``captured:*``); ``minimum`` and ``maximum`` bound numbers, both inclusive.
    """

    name: str
    kind: str
    summary: str
    default: str | int | float | None = None  # bool is an int
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Least work of one pass: bytes that must be read and written, and floating-point operations of matrix products."""

    read_bytes: int
    write_bytes: int
    flops: int = 0

    @property
    def total_bytes(self) -> int:
        """Bytes read plus bytes written."""
        return self.read_bytes + self.write_bytes


def rows_or_scalar(case: Case) -> tuple[int, ...]:
    """(N, d1, …) for reduction none, else (): the shape of a loss of rows."""
    return (case.batch, *case.dims) if case.reduction == "none" else ()


def elements_or_scalar(case: Case) -> tuple[int, ...]:
    """(N, C, d1, …) for reduction none, else (): the shape of a loss of single elements."""
    return (case.batch, case.classes, *case.dims) if case.reduction == "none" else ()


#: Axes that every case has; others are among its ``options``.
_FIELDS = frozenset(Case.__dataclass_fields__) - {"options", "loss"}


def logits_alone(case: Case) -> tuple[str, ...]:
    """The gradient of the logits and no other."""
    return ("logits",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A loss family: what a suite may ask of it and what that costs.

    ``options`` are the keyword options of its specification with their defaults; an implementation whose signature
    lacks one is ``unsupported`` in cells that need it. ``refusal`` returns why a combination of axes has no meaning
    (else None); ``cost`` the least work of a case's pass; ``memory`` the bytes that judging a case needs.

    ``arguments`` name the tensors of a call in its order. The first is what everyone calls ``logits`` (the tensor that
    a gradient is always taken of), the last of two or more is ``target``; those between are known by their names.
    ``tensor_options`` are options that are tensors, given by keyword where the axis of that name is not ``none``.
    ``checks`` are the names of the checks that have a meaning here. ``output`` is the shape of a case's result.
    ``gradients`` names the tensors whose gradients every backward of a case is asked for, ``differentiable`` those that
    torch can differentiate: ``logits`` first in both. ``cells`` gives the cells that a check brings itself, for (check,
    first case of a suite, thorough); None leaves that to the check. ``has_curvature``: the family can judge a second
    derivative.
    """

    name: str
    summary: str
    axes: tuple[Axis, ...]
    options: tuple[tuple[str, str | int | float | None], ...]
    baseline: str
    refusal: Callable[[Case], str | None]
    cost: Callable[[Case], Cost]
    memory: Callable[[Case], int]
    arguments: tuple[str, ...] = ("logits", "target")
    tensor_options: tuple[str, ...] = ("weight",)
    checks: tuple[str, ...] = ("agreement", "gradient", "stability")
    output: Callable[[Case], tuple[int, ...]] = rows_or_scalar
    gradients: Callable[[Case], tuple[str, ...]] = logits_alone
    differentiable: Callable[[Case], tuple[str, ...]] = logits_alone
    cells: Callable[[str, Case, bool], Iterable[Case]] | None = None
    has_curvature: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """``arguments`` by the names that inputs, answers and checks know them by."""
        names = list(self.arguments)
        names[0] = "logits"
        if len(names) > 1:
            names[-1] = "target"
        return tuple(names)

    @property
    def has_classes(self) -> bool:
        """Whether the target can be class indices."""
        axis = self.axis("target")
        return axis is not None and "uniform" in axis.allowed

    def axis(self, name: str) -> Axis | None:
        """The axis called ``name``, or None."""
        return next((axis for axis in self.axes if axis.name == name), None)

    def value(self, case: Case, name: str) -> Scalar | None:
        """The value of axis ``name`` in ``case``; None where this family has no such axis and no case has it."""
        if name == "pass":
            return case.pass_
        if name in _FIELDS:
            return getattr(case, name)
        axis = self.axis(name)
        return dict(case.options).get(name, None if axis is None else axis.default)

    def case(self, **axes: Any) -> Case:
        """A case of this family with ``axes``, all others at the family's defaults (not those of :class:`Case`)."""
        defaults = {axis.name: axis.default for axis in self.axes if axis.default is not None}
        return self.with_axes(Case(loss=self.name, batch=0, classes=0), **{**defaults, **axes})

    def with_axes(self, case: Case, **axes: Any) -> Case:
        """``case`` with other values of some axes; those that only this family knows may be among them."""
        known = {name: value for name, value in axes.items() if name in _FIELDS}
        if "pass" in axes:
            known["pass_"] = axes["pass"]
        other = {name: value for name, value in axes.items() if name not in known and name != "pass"}
        options = {**dict(case.options), **other}
        return replace(case, **known, options=self.away(options))

    def away(self, options: Mapping[str, Any]) -> tuple[tuple[str, Scalar], ...]:
        """``options`` sorted, less those at the default of their axis: a cell has one id."""
        defaults = {axis.name: axis.default for axis in self.axes}
        found = {name: value for name, value in options.items() if name not in defaults or value != defaults[name]}
        return tuple(sorted(found.items()))
