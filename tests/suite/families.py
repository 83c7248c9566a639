"""A loss family small enough to read, so that suite tests lean on no real one."""

from harness.core.case import DTYPES, PASSES, REDUCTIONS, Case
from harness.core.family import Axis, Cost, Family

_SIZE = 2**40
_DEVICES = ("cpu", "cuda", "cuda:*", "triton-interpreter")
_REGIMES = ("normal", "wide", "captured", "captured:*")


def _refusal(case: Case) -> str | None:
    return "wide needs float32" if case.regime == "wide" and case.dtype != "float32" else None


FAKE = Family(
    name="cross_entropy",
    summary="a stand-in",
    axes=(
        Axis(name="batch", kind="int", summary="", minimum=0, maximum=_SIZE, required=True),
        Axis(name="classes", kind="int", summary="", minimum=1, maximum=_SIZE, required=True),
        Axis(name="dtype", kind="choice", summary="", default="float32", allowed=DTYPES),
        Axis(name="device", kind="choice", summary="", default="cpu", allowed=_DEVICES),
        Axis(name="regime", kind="choice", summary="", default="normal", allowed=_REGIMES),
        Axis(name="pass", kind="choice", summary="", default="forward_backward", allowed=PASSES),
        Axis(name="reduction", kind="choice", summary="", default="mean", allowed=REDUCTIONS),
        Axis(name="target", kind="choice", summary="", default="uniform", allowed=("uniform", "probability")),
        Axis(name="weight", kind="choice", summary="", default="none", allowed=("none", "skewed")),
        Axis(name="layout", kind="choice", summary="", default="contiguous", allowed=("contiguous", "padded")),
        Axis(name="ignored", kind="float", summary="", default=0.0, minimum=0, maximum=1),
        Axis(name="ignore_index", kind="int", summary="", default=-100),
        Axis(name="label_smoothing", kind="float", summary="", default=0.0, minimum=0, maximum=1),
        Axis(name="seed", kind="int", summary="", default=0, minimum=0),
    ),
    options=(("reduction", "mean"), ("weight", None)),
    baseline="torch",
    refusal=_refusal,
    cost=lambda case: Cost(read_bytes=case.elements, write_bytes=0),
    memory=lambda case: case.elements * 100,
)  # fmt: skip

LINEAR = Family(
    name="linear_cross_entropy",
    summary="a stand-in with features",
    axes=(*FAKE.axes, Axis(name="features", kind="int", summary="", minimum=1, maximum=_SIZE, required=True)),
    options=FAKE.options,
    baseline="torch",
    refusal=_refusal,
    cost=FAKE.cost,
    memory=FAKE.memory,
)

FAMILIES = {family.name: family for family in (FAKE, LINEAR)}
