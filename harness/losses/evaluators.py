"""The evaluator of each loss family (compares an answer with the oracle) and its specification. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from harness.core.errors import UnknownReferenceError
from harness.losses.catalogue import families
from harness.numerics.evaluation import Evaluation


def evaluator(loss: str) -> Callable[..., Evaluation]:
    """``evaluate`` of the family called ``loss``.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    if loss not in families():
        raise UnknownReferenceError(f"no loss family is called {loss!r}; there are {', '.join(families())}")
    return import_module(f"harness.losses.{loss}.evaluate").evaluate


def specification(loss: str) -> Callable[..., Any]:
    """``specified`` of the family called ``loss``: (case, inputs, logits) → what torch itself returns, or raises.

    Raises:
        UnknownReferenceError: there is no such family.
    """
    if loss not in families():
        raise UnknownReferenceError(f"no loss family is called {loss!r}; there are {', '.join(families())}")
    return import_module(f"harness.losses.{loss}.specification").specified
