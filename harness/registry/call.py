"""Turn an implementation's callable and a case's inputs into one call; tensors pass through, torch is not imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from harness.core.case import Case
from harness.core.family import Family
from harness.core.implementation import Implementation
from harness.registry.support import needed_options


def call_options(implementation: Implementation, case: Case, family: Family, weight: object | None) -> dict[str, Any]:
    """Keyword arguments of the call.

    An option is passed when the case sets it, or when the implementation's own default differs from the
    specification's; otherwise it is left out, so that the implementation's own default path is what is judged.
    """
    values: dict[str, Any] = {**dict(family.options), **dict(case.options)}
    for name in values:
        if name == "weight":
            values[name] = weight
        elif hasattr(case, name):
            values[name] = getattr(case, name)
    needed = set(needed_options(case, family))
    for name, default in family.options:
        own = implementation.defaults.get(name, default)
        if implementation.options is not None and name in implementation.options and own != default:
            needed.add(name)
    return {name: values[name] for name in values if name in needed}


def bind(target: Callable[..., Any], options: Mapping[str, Any]) -> Callable[[Any, Any], Any]:
    """A callable of (logits, target) with ``options`` bound; an nn.Module class is constructed with them."""
    if inspect.isclass(target):
        return cast("Callable[[Any, Any], Any]", target(**options))
    return lambda logits, labels: target(logits, labels, **options)
