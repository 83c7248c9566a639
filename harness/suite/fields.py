"""Pydantic models made from a loss family's axes, and the types that suite files share."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from harness.core.family import Axis, Family
from harness.suite.model import SHAPE

_CUDA = re.compile(r"cuda:\d{1,3}")
_SHAPE_ALLOWED = "a list of shapes, each a list of whole numbers [N, C] or [N, C, d1, …] with N ≥ 0 and the others ≥ 1"
_LINEAR_SHAPE_ALLOWED = _SHAPE_ALLOWED.replace("[N, C]", "[N, H, C]").replace("[N, C, d1", "[N, H, C, d1")
_MAX_SIZE = 2**40


class Text(BaseModel):
    """A mapping of a suite file: no unknown key, no coercion, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def as_list(value: Any) -> Any:
    """A scalar is a one-value axis."""
    return value if isinstance(value, list) else [value]


def entry_model(family: Family) -> type[Text]:
    """The model of one entry of ``cases`` for ``family``: a list per axis, and ``shape``; every axis optional here."""
    fields: dict[str, Any] = {"axis_loss": (str, Field(alias="loss", description="the name of a loss"))}
    for axis in family.axes:
        text = axis_allowed(axis)
        fields[f"axis_{axis.name}"] = (_values(_item(axis)), Field(default=None, alias=axis.name, description=text))
    allowed = _LINEAR_SHAPE_ALLOWED if family.axis("features") else _SHAPE_ALLOWED
    fields["axis_shape"] = (
        _shapes(3 if family.axis("features") else 2),
        Field(default=None, alias=SHAPE, description=allowed),
    )
    return create_model(f"{family.name}_entry", __base__=Text, **fields)


def axis_allowed(axis: Axis) -> str:
    """What may stand under ``axis``, in words."""
    if axis.kind == "choice":
        return ", ".join(axis.allowed).replace("captured:*", "captured:FILE").replace("cuda:*", "cuda:INDEX")
    if axis.kind == "str":
        return "text, or a list of texts"
    if axis.kind == "bool":
        return "true, false"
    noun = "whole numbers" if axis.kind == "int" else "numbers"
    low, high = axis.minimum, axis.maximum
    bounds = {
        (True, True): f" from {_plain(low)} to {_plain(high)}",
        (True, False): f" ≥ {_plain(low)}",
        (False, True): f" ≤ {_plain(high)}",
    }.get((low is not None, high is not None), "")
    return f"{noun}{bounds}, one or a list"


def _values(item: Any) -> Any:
    return Annotated[list[item], BeforeValidator(as_list), Field(min_length=1)]


def _item(axis: Axis) -> Any:
    if axis.kind == "choice":
        return Annotated[str, AfterValidator(lambda value: _choice(value, axis))]
    if axis.kind == "str":
        return Annotated[str, Field(min_length=1)]
    if axis.kind == "bool":
        return bool
    return Annotated[int if axis.kind == "int" else float, Field(ge=axis.minimum, le=axis.maximum)]


def _choice(value: str, axis: Axis) -> str:
    prefixes = [name[:-1] for name in axis.allowed if name.endswith("*")]
    matched = value in axis.allowed or any(value.startswith(prefix) and value != prefix for prefix in prefixes)
    if not matched or value.endswith("*") or (value.startswith("cuda:") and not _CUDA.fullmatch(value)):
        raise ValueError(value)
    return value


def _shapes(least: int) -> Any:
    size = Annotated[int, Field(ge=0, le=_MAX_SIZE)]
    shape = Annotated[list[size], AfterValidator(lambda value: _shape(value, least))]
    return Annotated[list[shape], BeforeValidator(_as_shapes), Field(min_length=1)]


def _shape(value: list[int], least: int) -> list[int]:
    if not least <= len(value) <= least + 4 or any(size < 1 for size in value[1:]):
        raise ValueError(value)
    return value


def _as_shapes(value: Any) -> Any:
    # [32768, 256] alone is one shape, as a scalar is a one-value axis
    return [value] if isinstance(value, list) and value and not isinstance(value[0], list) else value


def _plain(number: float | None) -> str:
    return "" if number is None else f"{number:g}" if abs(number) < 1e6 else f"{number:.0f}"
