"""The decorators of mutants and controls (torch-free): a mutant takes one ``Call``, and is registered as a drop-in."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.core.case import DTYPES
from harness.core.errors import UsageError
from harness.registry.declare import TARGETS, implementation
from harness.suite.model import GRADES

DropIn = Callable[..., Any]


class Call(NamedTuple):
    """The arguments of one call of a loss, named as in ``F.cross_entropy``; ``_replace`` makes a changed one."""

    logits: Any
    target: Any
    weight: Any = None
    ignore_index: int = -100
    reduction: str = "mean"
    label_smoothing: float = 0.0


def mutant(
    mechanism: str,
    *,
    caught_by: str | tuple[str, ...],
    source: str = "",
    plain_wrong: str = "",
    grade: str = "standard",
    dtypes: Sequence[str] = DTYPES,
    targets: Sequence[str] = ("index",),
) -> Callable[[Callable[[Call], Any]], DropIn]:
    """Register a wrong implementation under its function's name.

    Args:
        mechanism: how it is wrong, in one line.
        caught_by: the checks that must each catch it.
        source: the documented bug, ``owner/project#issue``; empty for an uncited mechanism.
        plain_wrong: why it is worth having although it is wrong on ordinary contiguous float32 input with default
            options; empty for one that is right there.
        grade: the loosest accuracy grade at which it is to be caught, where ``standard`` allows what it does.
        dtypes: what it declares to support; fewer are quicker to judge.
        targets: kinds of target it declares to support.

    Raises:
        UsageError: ``mechanism`` or ``caught_by`` is empty.
    """
    if not mechanism.strip() or not caught_by:
        raise UsageError("a mutant says its mechanism and the check that must catch it")
    assert isinstance(source, str)
    assert isinstance(plain_wrong, str)
    assert grade in GRADES

    def register(function: Callable[[Call], Any]) -> DropIn:
        drop_in = _drop_in(function, f"Wrong on purpose: {mechanism}.")
        return implementation(function.__name__, devices=("cpu",), dtypes=dtypes, targets=targets)(drop_in)

    return register


def control(
    summary: str,
    *,
    dtypes: Sequence[str] = DTYPES,
    targets: Sequence[str] = TARGETS,
    expect: Mapping[str, str] | None = None,
    as_written: bool = False,
) -> Callable[[Callable[..., Any]], DropIn]:
    """Register a right but unusual implementation under its function's name; it must never be accused.

    Args:
        summary: what is unusual about it, in one line.
        dtypes: what it supports.
        targets: kinds of target it supports.
        expect: where it differs from torch, as any implementation declares it.
        as_written: the callable takes no Call: it is a drop-in itself (of a narrower signature, or an nn.Module class).

    Raises:
        UsageError: ``summary`` is empty.
    """
    if not summary.strip():
        raise UsageError("a control says what is unusual about it")

    def register(function: Callable[..., Any]) -> DropIn:
        drop_in = function if as_written else _drop_in(function, f"Right but unusual: {summary}.")
        name = function.__name__
        return implementation(name, devices=("cpu",), dtypes=dtypes, targets=targets, expect=expect)(drop_in)

    return register


def _drop_in(function: Callable[[Call], Any], summary: str) -> DropIn:
    """A function of torch's signature around one of a Call, with its name and place."""

    def loss(
        logits: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> Any:  # fmt: skip
        return function(Call(logits, target, weight, ignore_index, reduction, label_smoothing))

    loss.__name__ = loss.__qualname__ = function.__name__
    loss.__module__, loss.__doc__ = function.__module__, summary
    return loss
