"""Linear cross-entropy as a suite sees it: axes, options with torch's defaults, and what has no meaning. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from harness.core.case import Case
from harness.core.family import Axis, Family
from harness.inputs import catalogue
from harness.losses.cross_entropy.describe import AXES as CROSS_ENTROPY_AXES
from harness.losses.dense.axes import CHECKS
from harness.losses.linear_cross_entropy.cost import cost, memory

#: Standard deviation of the logits in each regime of independent draws; 1 in the others, before what they add.
SCALES: Mapping[str, float] = MappingProxyType({"normal": 1.0, "small": 0.1, "sigma10": 10.0})
REGIMES = (*SCALES, "confident", "wrong", "offset")
TARGETS = ("uniform", "zipf", "first", "last", "probability", "one_hot")
#: Kind of bias → one-line summary.
BIASES: Mapping[str, str] = MappingProxyType({"none": "no bias", "normal": "standard normal draws"})


def _axes() -> tuple[Axis, ...]:
    own = {
        "regime": REGIMES,
        "target": TARGETS,
    }
    shared = [replace(axis, allowed=own.get(axis.name, axis.allowed)) for axis in CROSS_ENTROPY_AXES]
    features = Axis(
        name="features",
        kind="int",
        summary="H, entries of a hidden state",
        default=16,
        minimum=1,
        maximum=shared[0].maximum,
        required=True,
    )
    bias = Axis(
        name="linear_bias", kind="choice", summary="added to the product", default="none", allowed=tuple(BIASES)
    )
    return (shared[0], features, *shared[1:], bias)


AXES = _axes()


def refusal(case: Case) -> str | None:
    """Why a combination of axes has no meaning, or None if it has one."""
    if case.dims:
        return (
            "linear cross-entropy is defined here for hidden states (N, H) and one class a row: no further dimensions"
        )
    if case.features < 1:
        return "linear cross-entropy needs features of at least 1: write shape [N, H, C]"
    for axis, value in (("regime", case.regime), ("target", case.target)):
        allowed = REGIMES if axis == "regime" else TARGETS
        if value not in allowed:
            return f"{axis}={value} is not made from hidden states and a weight; allowed: {', '.join(allowed)}"
    if dict(case.options).get("linear_bias", "none") not in BIASES:
        return f"unknown linear_bias {dict(case.options)['linear_bias']!r}; allowed: {', '.join(BIASES)}"
    return catalogue.refusal(case)


def gradients(case: Case) -> tuple[str, ...]:
    """Hidden states, weight and bias are all trained."""
    has_bias = dict(case.options).get("linear_bias", "none") != "none"
    return ("logits", "linear_weight", "linear_bias") if has_bias else ("logits", "linear_weight")


def differentiable(case: Case) -> tuple[str, ...]:
    """Besides what is trained: class probabilities, and the class weight with them."""
    if case.target_kind == "index":
        return gradients(case)
    return (*gradients(case), "target", "weight") if case.weight != "none" else (*gradients(case), "target")


def cells(check: str, anchor: Case, thorough: bool) -> Iterator[Case]:
    """The cells that checks bring themselves, at the default number of features, with and without a bias."""
    from harness.losses.cells import cells as plain  # which asks for this family

    if check == "relations":
        base = FAMILY.case(batch=6, classes=12, device=anchor.device, dtype=anchor.dtype, reduction="none")
        yield from (base, replace(base, classes=333, options=(("linear_bias", "normal"),)))
        return

    for number, case in enumerate(plain(check, anchor, thorough)):
        yield case
        first = number == 0 and check in ("grad_output", "side_effects", "options", "layout")
        if first or (number and check == "sizes"):
            yield replace(case, options=tuple(sorted((*case.options, ("linear_bias", "normal")))))


FAMILY = Family(
    name="linear_cross_entropy",
    summary="cross-entropy of hidden (N, H) · linear_weight (C, H)ᵀ + linear_bias, as torch's F.linear_cross_entropy",
    axes=AXES,
    options=(
        ("linear_bias", None),
        ("weight", None),
        ("reduction", "mean"),
        ("ignore_index", -100),
        ("label_smoothing", 0.0),
    ),
    baseline="linear_torch",
    refusal=refusal,
    cost=cost,
    memory=memory,
    arguments=("input", "linear_weight", "target"),
    tensor_options=("weight", "linear_bias"),
    checks=CHECKS,
    gradients=gradients,
    differentiable=differentiable,
    cells=cells,
)
