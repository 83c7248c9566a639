"""The loss families at hand, described without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from types import MappingProxyType

from harness.core.case import Case
from harness.core.errors import UnknownReferenceError, UsageError
from harness.core.family import Family
from harness.losses.binary_cross_entropy.describe import FAMILY as BINARY_CROSS_ENTROPY
from harness.losses.binary_cross_entropy_with_logits.describe import FAMILY as BINARY_CROSS_ENTROPY_WITH_LOGITS
from harness.losses.cross_entropy.describe import FAMILY as CROSS_ENTROPY
from harness.losses.kl_div.describe import FAMILY as KL_DIV
from harness.losses.linear_cross_entropy.describe import FAMILY as LINEAR_CROSS_ENTROPY
from harness.losses.log_softmax.describe import FAMILY as LOG_SOFTMAX
from harness.losses.mse_loss.describe import FAMILY as MSE_LOSS
from harness.losses.nll_loss.describe import FAMILY as NLL_LOSS
from harness.losses.own.describe import family_of_own
from harness.losses.sigmoid.describe import FAMILY as SIGMOID
from harness.losses.softmax.describe import FAMILY as SOFTMAX
from harness.registry.own import own_losses

_BUNDLED: Mapping[str, Family] = MappingProxyType(
    {
        family.name: family
        for family in (
            CROSS_ENTROPY,
            LINEAR_CROSS_ENTROPY,
            NLL_LOSS,
            LOG_SOFTMAX,
            SOFTMAX,
            SIGMOID,
            BINARY_CROSS_ENTROPY,
            BINARY_CROSS_ENTROPY_WITH_LOGITS,
            KL_DIV,
            MSE_LOSS,
        )
    }
)


def families() -> Mapping[str, Family]:
    """Name → family, in the order in which they are listed: the bundled ones, then those that users declared.

    Raises:
        UsageError: a declared loss has the name of a bundled one.
    """
    if not own_losses():
        return _BUNDLED
    for name in own_losses():
        if name in _BUNDLED:
            raise UsageError(f"a loss called {name!r} is declared, which is one of the harness's own: rename it")
    return MappingProxyType({**_BUNDLED, **{name: family_of_own(own) for name, own in own_losses().items()}})


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


def has_part(loss: str, name: str) -> bool:
    """Whether the folder of the family called ``loss`` has module ``name``; a declared loss has no folder."""
    return loss in _BUNDLED and find_spec(f"harness.losses.{loss}.{name}") is not None
