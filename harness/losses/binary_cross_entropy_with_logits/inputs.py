"""Inputs of binary cross-entropy of logits: the logits' regimes, labels 0 and 1 or soft ones, weights per class."""

from __future__ import annotations

from dataclasses import replace

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.inputs.targets import draw_weight
from harness.losses.dense import inputs as dense

#: So that weights of the positive part differ from the class weights of the same kind.
_OTHER_SEED = 7919


def build(case: Case) -> Inputs:
    """Logits (N, C, d1, …), labels of their shape, and pos_weight (C, 1, …) where the case has one."""
    kind = str(dict(case.options).get("pos_weight", "none"))
    drawn = draw_weight(replace(case, weight=kind, seed=case.seed + _OTHER_SEED))
    target = dense.dense_target(case, "binary" if case.target == "binary" else "uniform")
    made = dense.build(case, target=target)
    return made if drawn is None else replace(made, others={"pos_weight": dense.per_class(case, drawn)})
