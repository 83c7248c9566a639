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


class LinearCall(NamedTuple):
    """The arguments of one call of a linear loss, named as in ``F.linear_cross_entropy`` (``hidden`` is its input)."""

    hidden: Any
    linear_weight: Any
    target: Any
    linear_bias: Any = None
    weight: Any = None
    reduction: str = "mean"
    ignore_index: int = -100
    label_smoothing: float = 0.0


LINEAR = "linear_cross_entropy"
#: Losses whose mutants take a Call; those of the others are drop-ins as they are written, for any kind of target.
_OF_CALL = ("cross_entropy", LINEAR)


def mutant(
    mechanism: str,
    *,
    loss: str = "cross_entropy",
    caught_by: str | tuple[str, ...],
    source: str = "",
    plain_wrong: str = "",
    grade: str = "standard",
    dtypes: Sequence[str] = DTYPES,
    targets: Sequence[str] = ("index",),
) -> Callable[[Callable[..., Any]], DropIn]:
    """Register a wrong implementation under its function's name.

    Args:
        mechanism: how it is wrong, in one line.
        loss: its family; one of ``linear_cross_entropy`` takes a LinearCall.
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

    def register(function: Callable[..., Any]) -> DropIn:
        drop_in = _drop_in(function, f"Wrong on purpose: {mechanism}.", loss)
        kinds = targets if loss in _OF_CALL else TARGETS
        return implementation(function.__name__, loss=loss, devices=("cpu",), dtypes=dtypes, targets=kinds)(drop_in)

    return register


def control(
    summary: str,
    *,
    loss: str = "cross_entropy",
    dtypes: Sequence[str] = DTYPES,
    targets: Sequence[str] = TARGETS,
    expect: Mapping[str, str] | None = None,
    as_written: bool = False,
) -> Callable[[Callable[..., Any]], DropIn]:
    """Register a right but unusual implementation under its function's name; it must never be accused.

    Args:
        summary: what is unusual about it, in one line.
        loss: its family; one of ``linear_cross_entropy`` takes a LinearCall.
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
        drop_in = function if as_written else _drop_in(function, f"Right but unusual: {summary}.", loss)
        name = function.__name__
        declared = implementation(name, loss=loss, devices=("cpu",), dtypes=dtypes, targets=targets, expect=expect)
        return declared(drop_in)

    return register


def _drop_in(function: Callable[..., Any], summary: str, loss: str) -> DropIn:
    """A function of torch's signature around one of a Call, with its name and place."""
    if loss not in _OF_CALL:
        function.__doc__ = summary
        return function
    drop_in = _of_linear(function) if loss == LINEAR else _of_logits(function)
    drop_in.__name__ = drop_in.__qualname__ = function.__name__
    drop_in.__module__, drop_in.__doc__ = function.__module__, summary
    return drop_in


def _of_logits(function: Callable[[Call], Any]) -> DropIn:
    def loss(
        logits: Any, target: Any, *, weight: Any = None, ignore_index: int = -100, reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> Any:  # fmt: skip
        return function(Call(logits, target, weight, ignore_index, reduction, label_smoothing))

    return loss


def _of_linear(function: Callable[[LinearCall], Any]) -> DropIn:
    def loss(
        hidden: Any, linear_weight: Any, target: Any, *, linear_bias: Any = None, weight: Any = None,
        reduction: str = "mean", ignore_index: int = -100, label_smoothing: float = 0.0,
    ) -> Any:  # fmt: skip
        return function(
            LinearCall(
                hidden,
                linear_weight,
                target,
                linear_bias=linear_bias,
                weight=weight,
                reduction=reduction,
                ignore_index=ignore_index,
                label_smoothing=label_smoothing,
            )
        )

    return loss
