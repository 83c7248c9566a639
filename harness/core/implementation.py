"""What the harness knows of an implementation without importing it: a frozen description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.core.expectation import Expectation, parse_expectation


@dataclass(frozen=True, slots=True, kw_only=True)
class Implementation:
    """One implementation of a loss, as its declaration or signature shows it.

    ``reference`` is how a worker loads it (``path.py:callable`` or ``module:callable``). ``options`` are the keyword
    options its signature has (None: it takes any). ``defaults`` are its own defaults for them, ``required`` those that
    have none. ``unavailable`` says why it cannot run here, with the line to type; None when it can. ``failed`` says why
    it could not even be imported, and ``failed_status`` what its cells become then.
    """

    name: str
    loss: str
    reference: str
    options: tuple[str, ...] | None = None
    defaults: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu", "cuda")
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16", "float16")
    targets: tuple[str, ...] = ("index", "probability")
    requires: tuple[str, ...] = ()
    expect: tuple[Expectation, ...] = ()
    summary: str = ""
    source: str = ""
    origin: str = "reference"
    unavailable: str | None = None
    failed: str | None = None
    failed_status: str = "raised"
    traceback: str | None = None

    def supports(self, option: str) -> bool:
        """Whether the signature has keyword ``option``."""
        return self.options is None or option in self.options

    def declared(self, check: str, case: Any, variant: str = "", region: str = "") -> Expectation | None:
        """The first declared difference that covers ``check`` on ``case``, if any."""
        for expectation in self.expect:
            if expectation.covers(check, case, variant, region):
                return expectation
        return None


def implementation_to_dict(implementation: Implementation) -> dict[str, Any]:
    """Plain JSON-ready values."""
    values = asdict(implementation)
    values["expect"] = {e.text: e.reason for e in implementation.expect}
    values["defaults"] = {
        k: v for k, v in implementation.defaults.items() if isinstance(v, str | int | float | bool | None)
    }
    return values


def implementation_from_dict(values: Mapping[str, Any]) -> Implementation:
    """The description that :func:`implementation_to_dict` wrote."""
    known = dict(values)
    known["expect"] = tuple(parse_expectation(text, reason) for text, reason in dict(known.get("expect", {})).items())
    for name in ("devices", "dtypes", "targets", "requires", "required"):
        known[name] = tuple(known.get(name, ()))
    known["options"] = None if known["options"] is None else tuple(known["options"])
    return Implementation(**known)
