"""Binary cross-entropy of logits as a suite sees it. Torch-free."""

from __future__ import annotations

from harness.core.case import Case
from harness.core.family import Axis, Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, REDUCTION, WEIGHT, axes, refusal_of, target_axis
from harness.losses.dense.cost import cost_of, memory_of

_TARGETS = ("binary", "probability")
POS_WEIGHT = Axis(
    name="pos_weight", kind="choice", summary="weight of the positive part, per class", default="none",
    allowed=("none", "uniform", "skewed"),
)  # fmt: skip


def _both(case: Case) -> tuple[str, ...]:
    return ("logits", "target")


FAMILY = Family(
    name="binary_cross_entropy_with_logits",
    summary="multi-label: binary cross-entropy of every logit, as torch's F.binary_cross_entropy_with_logits",
    axes=axes(REDUCTION, target_axis(*_TARGETS), WEIGHT, POS_WEIGHT),
    options=(("weight", None), ("reduction", "mean"), ("pos_weight", None)),
    baseline="bce_logits_torch",
    refusal=refusal_of(*_TARGETS),
    cost=cost_of(tensors=2, result=elements_or_scalar),
    memory=memory_of(tensors=2),
    arguments=("input", "target"),
    tensor_options=("weight", "pos_weight"),
    checks=CHECKS,
    output=elements_or_scalar,
    differentiable=_both,
    cells=cells,
)
