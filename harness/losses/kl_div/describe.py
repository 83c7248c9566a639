"""Kullback-Leibler divergence as a suite sees it. Torch-free."""

from __future__ import annotations

from dataclasses import replace

from harness.core.case import Case
from harness.core.family import Axis, Family, elements_or_scalar
from harness.losses.cells import cells
from harness.losses.dense.axes import CHECKS, REDUCTION, axes, refusal_of, target_axis
from harness.losses.dense.cost import cost_of, memory_of

_TARGETS = ("probability", "one_hot")
LOG_TARGET = Axis(name="log_target", kind="bool", summary="whether the target holds log-probabilities", default=False)


def _logarithm(case: Case) -> str | None:
    if dict(case.options).get("log_target") and case.target == "one_hot":
        return "target=one_hot has no logarithm where it is 0: say log_target: false"
    return None


def _both(case: Case) -> tuple[str, ...]:
    return ("logits", "target")


FAMILY = Family(
    name="kl_div",
    summary="t (log t - x) of log-probabilities x and a distribution t (or its log), as torch's F.kl_div",
    axes=axes(replace(REDUCTION, allowed=(*REDUCTION.allowed, "batchmean")), target_axis(*_TARGETS), LOG_TARGET),
    options=(("reduction", "mean"), ("log_target", False)),
    baseline="kl_div_torch",
    refusal=refusal_of(*_TARGETS, further=_logarithm),
    cost=cost_of(tensors=2, result=elements_or_scalar),
    memory=memory_of(tensors=2),
    arguments=("input", "target"),
    tensor_options=(),
    checks=CHECKS,
    output=elements_or_scalar,
    differentiable=_both,
    cells=cells,
)
