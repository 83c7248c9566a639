"""A loss of the user's own: ``harness.loss`` declares it in a file of theirs. Torch-free.

The declaration is data but for the reference, so that a worker that imports the file can tell the parent all of it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

from harness.core.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

#: What the first tensor of a call may hold: the regime's logits, or what they become.
FIRST = ("logits", "log_probabilities", "probabilities")
#: What the others may: class indices (N, d1, …); numbers shaped like the first tensor; (C,) positive numbers.
SHAPED = ("values", "near", "binary", "probability", "one_hot", "uniform")
LATER = ("index", *SHAPED, "per_class")
RESULTS = ("rows", "elements", "scalar")


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnLoss:
    """A declared loss: ``tensors`` in call order with what each holds, options with defaults, shape of the result.

    ``reference`` computes it with torch; it is None where only the description is at hand. ``source`` is its file.
    """

    name: str
    summary: str
    tensors: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, Any], ...]
    result: str
    choices: tuple[tuple[str, tuple[str, ...]], ...] = ()
    passes_read: float = 1.0
    dims: bool = False
    source: str = ""
    reference: Callable[..., Any] | None = None


def loss(
    name: str, *, tensors: Mapping[str, str], result: str = "rows", choices: Mapping[str, Sequence[str]] | None = None,
    passes_read: float = 1.0, dims: bool = False,
) -> Callable[[F], F]:  # fmt: skip
    """Declare a loss; the decorated function is its reference, which the harness runs in float64 as the truth.

    The reference is plain torch: it takes ``tensors`` by position and its options by keyword, each with a default, and
    is differentiated by autograd. An option called ``reduction`` is none, mean or sum.

    Args:
        name: what suites and ``@implementation(…, loss=name)`` call it.
        tensors: name → what it holds, in the order of the call. The first, which gradients are taken of, is ``logits``
            (the suite's regime), ``log_probabilities`` or ``probabilities`` (made of it); the others are ``index``
            (class indices), ``values``, ``near``, ``binary``, ``probability``, ``one_hot``, ``uniform`` (shaped like
            the first) or ``per_class``.
        result: ``rows`` (N, d1, …), ``elements`` (N, C, d1, …) or ``scalar``, before any reduction.
        choices: option → the texts that it may be.
        passes_read: how often the least possible kernel reads its tensors; for the roofline.
        dims: whether it takes tensors of more than two dimensions, (N, C, d1, …).

    Raises:
        UsageError: something of it is not one of these.
    """
    own = OwnLoss(
        name=name, summary="", tensors=tuple(tensors.items()), options=(), result=result,
        choices=tuple((key, tuple(values)) for key, values in (choices or {}).items()), passes_read=passes_read,
        dims=dims,
    )  # fmt: skip
    _require(own)

    def register(reference: F) -> F:
        summary = (inspect.getdoc(reference) or f"own loss {name}").strip().splitlines()[0]
        source = inspect.getsourcefile(reference) or ""
        options = _options(own, reference)
        own_losses()[name] = replace(own, summary=summary, options=options, source=source, reference=reference)
        return reference

    return register


@lru_cache(maxsize=1)
def own_losses() -> dict[str, OwnLoss]:
    """The losses declared by files that this process has loaded, or been told of."""
    return {}


def own_to_dict(own: OwnLoss) -> dict[str, Any]:
    """Plain JSON-ready values, without the reference."""
    return {**asdict(replace(own, reference=None)), "reference": None}


def own_from_dict(values: Mapping[str, Any]) -> OwnLoss:
    """What :func:`own_to_dict` wrote."""
    known = dict(values)
    for key in ("tensors", "options"):
        known[key] = tuple((str(name), value) for name, value in known[key])
    known["choices"] = tuple((str(name), tuple(allowed)) for name, allowed in known["choices"])
    return OwnLoss(**known)


def _require(own: OwnLoss) -> None:
    kinds = [kind for _, kind in own.tensors]
    if not own.name.isidentifier():
        raise UsageError(f"loss {own.name!r} is no Python name of letters, digits and _, e.g. my_loss")
    if not kinds or kinds[0] not in FIRST:
        found = repr(kinds[0]) if kinds else "no tensor"
        raise UsageError(f"loss {own.name!r}: the first tensor holds {found}; allowed: {', '.join(FIRST)}")
    for tensor, kind in own.tensors[1:]:
        if kind not in LATER:
            raise UsageError(f"loss {own.name!r}: tensor {tensor!r} holds {kind!r}; allowed: {', '.join(LATER)}")
    if own.result not in RESULTS:
        raise UsageError(f"loss {own.name!r}: result is {own.result!r}; allowed: {', '.join(RESULTS)}")


def _options(own: OwnLoss, reference: Callable[..., Any]) -> tuple[tuple[str, Any], ...]:
    """The keyword options of the reference with their defaults."""
    found: list[tuple[str, Any]] = []
    for name, parameter in list(inspect.signature(reference).parameters.items())[len(own.tensors) :]:
        if parameter.default is parameter.empty or not isinstance(parameter.default, str | int | float | bool):
            raise UsageError(
                f"loss {own.name!r}: option {name!r} of the reference has no default that is text, a number or a bool"
            )
        if isinstance(parameter.default, str) and name != "reduction" and name not in dict(own.choices):
            raise UsageError(f"loss {own.name!r}: say what {name!r} may be: choices={{{name!r}: (…)}}")
        found.append((name, parameter.default))
    return tuple(found)
