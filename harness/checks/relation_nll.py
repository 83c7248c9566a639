"""The relations that negative log-likelihood obeys, each made for one starting call on a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.checks.relation_shared import drawn_weight, quarters, reductions
from harness.core.case import Case
from harness.inputs.build import Inputs


def starting_inputs(case: Case, inputs: Inputs) -> Inputs:
    """``inputs`` rounded to quarters, so that sums and multiples of them are exact in every dtype."""
    return replace(inputs, logits=quarters(inputs.logits, most=8.0))


def related(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every relation that starts from ``case`` (reduction none) on ``start``."""
    x, rows = start.logits, np.eye(case.batch)
    for name, factor in (("scaled", 2.0), ("scaled_far", 256.0), ("scaled_down", 2.0**-10), ("negated", -1.0)):
        summary = f"the input times {factor:g}: the losses too"
        yield Relation(
            name=name, summary=summary, case=case, inputs=replace(start, logits=x * factor), right=factor * rows
        )
    yield Relation(
        name="shifted",
        summary="2 added to the input: 2 less",
        case=case,
        inputs=replace(start, logits=x + 2),
        plus=-2.0,
    )
    yield Relation(
        name="reversed_rows", summary="rows in reverse order", case=case, right=rows[::-1],
        inputs=replace(start, logits=x.flip(0), target=start.target.flip(0)),
    )  # fmt: skip
    others = torch.full_like(x, -1e4)
    others.scatter_(1, start.target.unsqueeze(1), x.gather(1, start.target.unsqueeze(1)))
    yield Relation(
        name="other_classes", summary="all other classes lowered", case=case, inputs=replace(start, logits=others)
    )
    weight = drawn_weight(case, x)
    own = weight.to(torch.float64).cpu()[start.target.cpu()].numpy()
    yield Relation(
        name="weights", summary="each loss times its target's weight", case=replace(case, weight="uniform"),
        inputs=replace(start, weight=weight), right=np.diag(own),
    )  # fmt: skip
    if case.dtype == "float32":
        yield from reductions(case, start, case.batch)
        yield from _ignored(case, start)
        weighed = replace(start, weight=weight, grad_output=start.grad_output.new_ones(()))
        yield Relation(
            name="weighted_mean", summary="the mean by weights", inputs=weighed, right=own[None] / own.sum(),
            case=replace(case, weight="uniform", reduction="mean"),
        )  # fmt: skip


def _ignored(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every third row ignored: 0 there, the others as they were, and a mean over the others alone."""
    target = start.target.clone()
    target[::3] = case.ignore_index
    kept = (target != case.ignore_index).to(torch.float64).cpu().numpy()
    some = replace(case, ignored=0.25)
    yield Relation(
        name="ignored", summary="ignored rows cost nothing", case=some, inputs=replace(start, target=target),
        right=np.diag(kept),
    )  # fmt: skip
    one = start.grad_output.new_ones(())
    yield Relation(
        name="ignored_mean", summary="the mean of the other rows", case=replace(some, reduction="mean"),
        inputs=replace(start, target=target, grad_output=one), right=kept[None] / kept.sum(),
    )  # fmt: skip
