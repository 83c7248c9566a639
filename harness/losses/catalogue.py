"""The loss families at hand, described without torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from harness.core.family import Family
from harness.losses.cross_entropy.describe import FAMILY as CROSS_ENTROPY


def families() -> Mapping[str, Family]:
    """Name → family, in the order in which they are listed."""
    return MappingProxyType({family.name: family for family in (CROSS_ENTROPY,)})
