"""A case: one cell of a sweep, holding everything needed to make its inputs again on any machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from harness.core.errors import UnknownReferenceError

Scalar = str | int | float | bool

PASSES = ("forward_no_grad", "forward", "backward", "forward_backward")
DTYPES = ("float64", "float32", "bfloat16", "float16")
REDUCTIONS = ("none", "mean", "sum")
INTERPRETER = "triton-interpreter"
#: Targets that are floating-point tensors shaped like the logits: probabilities, 0 and 1, or plain numbers.
PROBABILITY_TARGETS = ("probability", "one_hot", "binary", "values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One cell: a loss on inputs of one shape, dtype, device and regime, with one set of options.

    ``pass_`` is the YAML axis ``pass``. ``dims`` are the trailing sizes d1, d2, … of logits (N, C, d1, …). ``features``
    is H of linear cross-entropy and 0 elsewhere. ``options`` holds the axes that only some loss families know.
    """

    loss: str = "cross_entropy"
    batch: int
    classes: int
    features: int = 0
    dims: tuple[int, ...] = ()
    dtype: str = "float32"
    device: str = "cpu"
    regime: str = "normal"
    pass_: str = "forward_backward"
    reduction: str = "mean"
    target: str = "uniform"
    ignored: float = 0.0
    weight: str = "none"
    ignore_index: int = -100
    label_smoothing: float = 0.0
    layout: str = "contiguous"
    grad_output: str = "one"
    seed: int = 0
    options: tuple[tuple[str, Scalar], ...] = ()

    @property
    def rows(self) -> int:
        """Number of losses before reduction: N·d1·d2·…"""
        count = self.batch
        for size in self.dims:
            count *= size
        return count

    @property
    def elements(self) -> int:
        """Number of logits: rows times classes."""
        return self.rows * self.classes

    @property
    def needs_gradient(self) -> bool:
        """Whether the pass of this cell computes a gradient."""
        return self.pass_ in ("backward", "forward_backward")

    @property
    def target_kind(self) -> str:
        """``index``, or ``probability`` for every target that is shaped like the logits."""
        return "probability" if self.target in PROBABILITY_TARGETS else "index"

    @property
    def cell(self) -> str:
        """The stable readable id of this cell; :func:`parse_cell` reads it back."""
        return cell_id(self)

    @property
    def inputs_key(self) -> str:
        """Id of the inputs: equal for cells that differ only in their pass."""
        return cell_id(replace(self, pass_=PASSES[-1]))

    def with_pass(self, pass_: str) -> Case:
        """This case with another pass."""
        return replace(self, pass_=pass_)


#: Axes that stand in the fixed part of a cell id; the others are appended when away from their default.
_FIXED = ("loss", "batch", "classes", "features", "dims", "dtype", "device", "regime", "pass_", "reduction", "options")
_DEFAULTS: Mapping[str, Any] = {f.name: f.default for f in fields(Case) if f.name not in _FIXED}
_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


def dtype_bytes(dtype: str) -> int:
    """Bytes of one element of ``dtype``."""
    return _BYTES[dtype]


def cell_id(case: Case) -> str:
    """``loss/NxC[xd1…]/dtype/device/regime/pass/reduction[/axis=value…]``; linear losses write ``NxHxC``."""
    shape = [case.batch, *([case.features] if case.features else []), case.classes, *case.dims]
    extra = {name: getattr(case, name) for name, default in _DEFAULTS.items() if getattr(case, name) != default}
    extra.update(case.options)
    parts = [case.loss, "x".join(map(str, shape)), case.dtype, case.device, _escape(case.regime)]
    parts += [case.pass_, case.reduction]
    parts += [f"{name}={_escape(str(value))}" for name, value in sorted(extra.items())]
    return "/".join(parts)


@lru_cache(maxsize=4096)
def parse_cell(cell: str) -> Case:
    """The case of a cell id (a ``#variant`` behind it is dropped).

    Raises:
        UnknownReferenceError: the text is not a cell id.
    """
    parts = cell.split("#", 1)[0].split("/")
    try:
        loss, shape, dtype, device, regime, pass_, reduction = parts[:7]
        sizes = [int(size) for size in shape.split("x")]
        batch, rest = sizes[0], sizes[1:]
        features = rest.pop(0) if loss.startswith("linear_") else 0
        extra, options = _parse_extra(parts[7:])
        case = Case(
            loss=loss,
            batch=batch,
            classes=rest[0],
            features=features,
            dims=tuple(rest[1:]),
            dtype=dtype,
            device=device,
            regime=unquote(regime),
            pass_=pass_,
            reduction=reduction,
            options=options,
            **extra,
        )
    except (ValueError, IndexError) as error:
        raise UnknownReferenceError(
            f"not a cell id: {cell!r} ({error})\n"
            "  a cell id reads loss/NxC/dtype/device/regime/pass/reduction[/axis=value…], e.g. "
            "cross_entropy/1024x32000/bfloat16/cpu/confident/forward_backward/mean"
        ) from None
    return case


def case_from_dict(values: Mapping[str, Any]) -> Case:
    """The case that :func:`case_to_dict` wrote."""
    known = dict(values)
    known["dims"] = tuple(known.get("dims", ()))
    known["options"] = tuple((str(k), v) for k, v in dict(known.get("options", {})).items())
    return Case(**known)


def case_to_dict(case: Case) -> dict[str, Any]:
    """Plain JSON-ready values of ``case``."""
    values = asdict(case)
    values["dims"] = list(case.dims)
    values["options"] = dict(case.options)
    return values


def _parse_extra(parts: list[str]) -> tuple[dict[str, Any], tuple[tuple[str, Scalar], ...]]:
    known: dict[str, Any] = {}
    other: list[tuple[str, Scalar]] = []
    for part in parts:
        name, _, text = part.partition("=")
        value = unquote(text)
        if name in _DEFAULTS:
            known[name] = type(_DEFAULTS[name])(value)
        elif name and text:
            other.append((name, _scalar(value)))
        else:
            raise ValueError(f"{part!r} is no axis=value")
    return known, tuple(sorted(other))


def _scalar(text: str) -> Scalar:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _escape(text: str) -> str:
    return quote(text, safe=" :+-.,_*@")
