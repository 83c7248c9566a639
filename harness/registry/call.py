"""Turn an implementation's callable and a case's inputs into one call; tensors pass through, torch is not imported."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from harness.core.case import Case
from harness.core.family import Family
from harness.core.implementation import Implementation
from harness.registry.support import needed_options


def call_options(
    implementation: Implementation, case: Case, family: Family, tensors: Mapping[str, Any]
) -> dict[str, Any]:
    """Keyword arguments of the call; ``tensors`` are the inputs by name, for options that are tensors.

    An option is passed when the case sets it, or when the implementation's own default differs from the
    specification's (or it has none); otherwise it is left out, so that the implementation's own default path is what
    is judged.
    """
    needed = {*needed_options(case, family), *_defaults_differ(implementation, family)}
    values: dict[str, Any] = {}
    for name, default in family.options:
        if name in needed and name in family.tensor_options:
            values[name] = tensors.get(name)
        elif name in needed:
            found = family.value(case, name)
            values[name] = default if found is None else found
    return values


def bind(
    target: Callable[..., Any], options: Mapping[str, Any], family: Family, others: Mapping[str, Any]
) -> Callable[..., Any]:
    """A callable of (logits, target) with ``options`` bound, and of other tensors in a third argument, ``others``.

    The tensors are handed on by position, in the family's order; an nn.Module class is constructed with the options.
    """
    between = family.slots[1:-1]
    called: Callable[..., Any] = target
    if inspect.isclass(target):
        called, options = cast("Callable[..., Any]", target(**options)), {}

    def of_two(logits: Any, labels: Any, _: object = None) -> Any:
        return called(logits, labels, **options)

    def of_one(logits: Any, _: object = None, __: object = None) -> Any:
        return called(logits, **options)

    def of_more(logits: Any, labels: Any, given: Mapping[str, Any] | None = None) -> Any:
        now = others if given is None else given
        by_keyword = {name: now.get(name, value) for name, value in options.items()}
        return called(logits, *(now[name] for name in between), labels, **by_keyword)

    if family.slots == ("logits",):
        return of_one
    if between or any(name in options for name in others):
        return of_more
    if others:
        return of_two
    # nothing to put in place or to drop: a call is then the implementation's own, which speed is to be the speed of
    return partial(called, **options) if options else called


def _defaults_differ(implementation: Implementation, family: Family) -> list[str]:
    """Options that the signature has with another default than the specification, or with none."""
    if implementation.options is None:
        return []
    return [
        name
        for name, default in family.options
        if name in implementation.options
        and (name in implementation.required or implementation.defaults.get(name, default) != default)
    ]
