"""Axes of the families beside cross-entropy, made of its own, and why a combination has no meaning. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from harness.core.case import Case
from harness.core.family import Axis
from harness.inputs import catalogue
from harness.losses.cross_entropy.describe import AXES

#: Checks that every family but cross-entropy is asked, beside those that judge each cell.
CHECKS = (
    "agreement", "gradient", "stability", "grad_output", "options", "layout", "sizes", "relations", "side_effects",
    "repeatability", "honesty", "composition",
)  # fmt: skip

#: Kind of a target shaped like the first tensor → one-line summary.
TARGETS: Mapping[str, str] = MappingProxyType(
    {
        "values": "standard normal draws",
        "near": "the first tensor and 0.01 × standard normal draws: differences that cancel",
        "binary": "0 or 1, each with probability 1/2",
        "probability": "for binary losses uniform in [0, 1); for distributions uniform on the simplex",
        "one_hot": "1 on one class of each row, 0 elsewhere",
    }
)

_SHARED = ("batch", "classes", "dtype", "device", "regime", "pass", "layout", "grad_output", "seed")
_KNOWN: Mapping[str, Axis] = MappingProxyType({axis.name: axis for axis in AXES})

REDUCTION = _KNOWN["reduction"]
UNREDUCED = replace(REDUCTION, default="none", allowed=("none",))
WEIGHT, IGNORED, IGNORE_INDEX = _KNOWN["weight"], _KNOWN["ignored"], _KNOWN["ignore_index"]
INDEX_TARGET = replace(_KNOWN["target"], summary="class indices", allowed=("uniform", "zipf", "first", "last"))


DIM = Axis(name="dim", kind="int", summary="dimension that sums to one", default=1, minimum=-5, maximum=4)


def dim_in_range(case: Case) -> str | None:
    """Why the case's ``dim`` is none of its dimensions, or None."""
    ndim, dim = 2 + len(case.dims), int(dict(case.options).get("dim", 1))
    return None if -ndim <= dim < ndim else f"dim={dim} is none of the {ndim} dimensions: {-ndim} to {ndim - 1}"


def axes(*more: Axis) -> tuple[Axis, ...]:
    """The axes that all families have, and ``more``."""
    return (*(_KNOWN[name] for name in _SHARED), *more)


def target_axis(*kinds: str) -> Axis:
    """The axis of targets shaped like the first tensor; the first of ``kinds`` is the default."""
    return Axis(name="target", kind="choice", summary="how the target is drawn", default=kinds[0], allowed=kinds)


def refusal_of(*kinds: str, further: Callable[[Case], str | None] = lambda case: None) -> Callable[[Case], str | None]:
    """``refusal`` of a family whose targets are among ``kinds`` (none given: it has no target)."""

    def refusal(case: Case) -> str | None:
        if kinds and case.target not in kinds:
            return f"unknown target {case.target!r}; allowed: {', '.join(kinds)}"
        return catalogue.refusal(replace(case, target="uniform")) or further(case)

    return refusal
