"""The ``@implementation`` decorator: what a plugin says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from harness.core.case import DTYPES, INTERPRETER
from harness.core.errors import UsageError
from harness.core.expectation import parse_expectation

F = TypeVar("F", bound=Callable[..., Any])

DEVICES = ("cpu", "cuda", INTERPRETER)
TARGETS = ("index", "probability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """One ``@implementation(...)`` as written, with the callable it stands above."""

    name: str
    loss: str
    target: Callable[..., Any]
    devices: tuple[str, ...]
    dtypes: tuple[str, ...]
    targets: tuple[str, ...]
    requires: tuple[str, ...]
    expect: Mapping[str, str] = field(default_factory=dict)


#: The list that declarations made while a plugin is being loaded are added to; None outside a load.
_collecting: ContextVar[list[Declaration] | None] = ContextVar("harness_declarations", default=None)


def implementation(
    name: str,
    *,
    loss: str = "cross_entropy",
    devices: Sequence[str] = ("cpu", "cuda"),
    dtypes: Sequence[str] = DTYPES,
    targets: Sequence[str] = TARGETS,
    requires: Sequence[str] = (),
    expect: Mapping[str, str] | None = None,
) -> Callable[[F], F]:
    """Register a function (or nn.Module class) as an implementation of ``loss``; the function is returned unchanged.

    Args:
        name: the name it is listed, selected and reported under.
        loss: the loss family, e.g. ``cross_entropy``.
        devices: among ``cpu``, ``cuda``, ``triton-interpreter``.
        dtypes: among float64, float32, bfloat16, float16.
        targets: among ``index``, ``probability``.
        requires: packages with version specifiers, e.g. ``triton>=3.2``; where one is missing the implementation is
            *unavailable*, with the pip line to type.
        expect: declared differences, ``check[axis=value, …]`` → reason.

    Raises:
        UsageError: a name is not one of those allowed, or an ``expect`` key cannot be read.
    """
    _require_known("device", devices, DEVICES, name)
    _require_known("dtype", dtypes, DTYPES, name)
    _require_known("target", targets, TARGETS, name)
    for text, reason in (expect or {}).items():
        parse_expectation(text, reason)

    def register(target: F) -> F:
        _note(Declaration(
            name=name, loss=loss, target=target, devices=tuple(devices), dtypes=tuple(dtypes), targets=tuple(targets),
            requires=tuple(requires), expect=dict(expect or {}),
        ))  # fmt: skip
        return target

    return register


def _note(declaration: Declaration) -> None:
    collected = _collecting.get()
    if collected is not None:
        collected.append(declaration)


def collect(load: Callable[[], object]) -> tuple[object, list[Declaration]]:
    """Run ``load`` and return its result with the declarations made meanwhile, in order."""
    found: list[Declaration] = []
    token = _collecting.set(found)
    try:
        return load(), found
    finally:
        _collecting.reset(token)


def _require_known(kind: str, values: Sequence[str], allowed: Sequence[str], name: str) -> None:
    if isinstance(values, str):
        raise UsageError(f"implementation {name!r}: {kind}s is the text {values!r}; write a tuple, ({values!r},)")
    unknown = [value for value in values if value not in allowed]
    if unknown:
        raise UsageError(f"implementation {name!r}: unknown {kind} {unknown[0]!r}; allowed: {', '.join(allowed)}")
