"""The parts of each loss family that need torch: its evaluator, its specification, its inputs."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from harness.losses.catalogue import family_of
from harness.numerics.evaluation import Evaluation
from harness.registry.own import own_losses


def evaluator(loss: str) -> Callable[..., Evaluation]:
    """``evaluate`` of the family called ``loss``: (case, inputs, result, gradients, rounding_ulps=…) → evaluation.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    return part(loss, "evaluate").evaluate


def specification(loss: str) -> Callable[..., Any]:
    """``specified`` of the family called ``loss``: (case, inputs, logits) → what torch itself returns, or raises.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    return part(loss, "specification").specified


def true_answer(loss: str) -> Callable[..., Any]:
    """Of the family called ``loss``: (case, inputs) → its true loss and gradients by name, rounded once to the dtype.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    truth = part(loss, "evaluate").truth

    def answer(case: Any, inputs: Any) -> tuple[Any, Any]:
        found = truth(case, inputs)
        return found.loss, found.gradients

    return answer


def allowed_losses(loss: str) -> Callable[..., Any]:
    """Of the family called ``loss``: (case, inputs, rounding_ulps=…) → the error allowed of each loss, flat float64.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    return part(loss, "evaluate").allowed_losses


def region_masks(loss: str) -> Callable[..., Any]:
    """Of the family called ``loss``: (case, inputs) → (value, region) → bool mask over the value.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    return part(loss, "regions").region_masks


def explainer(loss: str) -> Callable[..., Any]:
    """``explain`` of the family called ``loss``: (case, inputs, an entry) → the terms of its budget.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    return part(loss, "explain").explain


def part(loss: str, name: str) -> Any:
    """Module ``name`` of the folder of the family called ``loss``.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    family = family_of(loss).name
    if family in own_losses():
        # of a declared loss one module holds what depends on its reference
        return import_module(f"harness.losses.own.{'inputs' if name == 'inputs' else 'evaluate'}")
    return import_module(f"harness.losses.{family}.{name}")
