"""The loss families at hand, described without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from harness.core.case import Case
from harness.core.errors import UnknownReferenceError
from harness.core.family import Family
from harness.losses.cross_entropy.describe import FAMILY as CROSS_ENTROPY
from harness.losses.linear_cross_entropy.describe import FAMILY as LINEAR_CROSS_ENTROPY


def families() -> Mapping[str, Family]:
    """Name → family, in the order in which they are listed."""
    return MappingProxyType({family.name: family for family in (CROSS_ENTROPY, LINEAR_CROSS_ENTROPY)})


def family_of(loss: str) -> Family:
    """The family called ``loss``.

    Raises:
        UnknownReferenceError: there is none.
    """
    known = families()
    if loss not in known:
        raise UnknownReferenceError(f"no loss family is called {loss!r}; there are {', '.join(known)}")
    return known[loss]


def unreduced(case: Case) -> Case:
    """``case`` with reduction none, which every family has."""
    return replace(case, reduction="none")
