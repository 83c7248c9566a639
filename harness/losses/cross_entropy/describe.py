"""Cross-entropy as a suite sees it: axes, and options with torch's defaults."""

from __future__ import annotations

from harness.core.case import DTYPES, INTERPRETER, PASSES, REDUCTIONS, Case
from harness.core.family import Axis, Family
from harness.inputs import catalogue
from harness.losses.cross_entropy.cost import cost, memory
from harness.suite.model import CHECKS

#: Sizes above this cannot be held by any machine; they are slips.
_MAX_SIZE = 2**40
_INT64 = 2**63

AXES = (
    Axis(name="batch", kind="int", summary="N, rows", minimum=0, maximum=_MAX_SIZE, required=True),
    Axis(name="classes", kind="int", summary="C, classes", minimum=1, maximum=_MAX_SIZE, required=True),
    Axis(name="dtype", kind="choice", summary="dtype of logits and weight", default="float32", allowed=DTYPES),
    Axis(
        name="device",
        kind="choice",
        summary="where the implementation runs",
        default="cpu",
        allowed=("cpu", "cuda", "cuda:*", INTERPRETER),
    ),
    Axis(
        name="regime",
        kind="choice",
        summary="distribution of the logits",
        default="normal",
        allowed=(*catalogue.REGIMES, "captured:*"),
    ),
    Axis(name="pass", kind="choice", summary="what one call computes", default="forward_backward", allowed=PASSES),
    Axis(name="reduction", kind="choice", summary="of the row losses", default="mean", allowed=REDUCTIONS),
    Axis(
        name="target",
        kind="choice",
        summary="class indices, or class probabilities",
        default="uniform",
        allowed=tuple(catalogue.TARGETS),
    ),
    Axis(name="ignored", kind="float", summary="share of rows with ignore_index", default=0.0, minimum=0, maximum=1),
    Axis(name="weight", kind="choice", summary="class weights", default="none", allowed=tuple(catalogue.WEIGHTS)),
    Axis(
        name="ignore_index",
        kind="int",
        summary="target value whose rows count for nothing",
        default=-100,
        minimum=-_INT64,
        maximum=_INT64 - 1,
    ),
    Axis(name="label_smoothing", kind="float", summary="share of uniform target", default=0.0, minimum=0, maximum=1),
    Axis(name="layout", kind="choice", summary="strides", default="contiguous", allowed=tuple(catalogue.LAYOUTS)),
    Axis(
        name="grad_output",
        kind="choice",
        summary="gradient that arrives from above",
        default="one",
        allowed=tuple(catalogue.GRAD_OUTPUTS),
    ),
    Axis(name="seed", kind="int", summary="of the inputs", default=0, minimum=0, maximum=_INT64 - 1),
)

# every combination of options has a meaning in torch; what has none is a matter of the inputs


def _differentiable(case: Case) -> tuple[str, ...]:
    """With class indices torch raises where the weight requires a gradient."""
    if case.target_kind == "index":
        return ("logits",)
    return ("logits", "target", "weight") if case.weight != "none" else ("logits", "target")


FAMILY = Family(
    name="cross_entropy",
    summary="cross-entropy of logits (N, C, d1, …) with class indices or probabilities, as torch's F.cross_entropy",
    axes=AXES,
    options=(("weight", None), ("ignore_index", -100), ("reduction", "mean"), ("label_smoothing", 0.0)),
    baseline="torch",
    refusal=catalogue.refusal,
    cost=cost,
    memory=memory,
    checks=tuple(CHECKS),
    differentiable=_differentiable,
    has_curvature=True,
)
