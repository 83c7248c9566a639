"""The relations that sigmoid, mean squared error and Kullback-Leibler divergence obey, each made for one call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.checks.relation_shared import largest_shift, moved, quarters, reductions, values_of
from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of


def starting_inputs(case: Case, inputs: Inputs) -> Inputs:
    """``inputs`` in round numbers, where the loss takes such."""
    if case.loss == "kl_div":
        return inputs
    if case.loss == "sigmoid":
        return replace(inputs, logits=quarters(inputs.logits) * 4)
    return replace(inputs, logits=quarters(inputs.logits), target=quarters(inputs.target))


def related(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every relation that starts from ``case`` on ``start``."""
    made = {"sigmoid": _of_sigmoid, "mse_loss": _of_squares, "kl_div": _of_divergence}
    yield from made[case.loss](case, start)
    yield moved(case, start, dim=1, name="permuted", summary="entries in another order")
    if case.loss != "sigmoid" and case.dtype == "float32":
        yield from reductions(case, start, start.logits.numel())


def _of_sigmoid(case: Case, start: Inputs) -> Iterator[Relation]:
    x, entries = start.logits, np.eye(start.logits.numel())

    def relation(name: str, summary: str, logits: torch.Tensor, **sides: Any) -> Relation:
        return Relation(name=name, summary=summary, case=case, inputs=replace(start, logits=logits), **sides)

    yield relation("mirrored", "σ(-x) = 1 - σ(x)", -x, right=-entries, plus=1.0)
    yield relation("raised", "a larger input, no smaller result", x + 2, sign=-1)
    yield relation("lowered", "a smaller input, no larger result", x - 2, sign=1)
    yield relation("raised_far", "a far larger input, no smaller result", x + 64, sign=-1)
    yield relation("lowered_far", "a far smaller input, no larger result", x - 64, sign=1)
    yield relation("at_most_one", "no result above 1", x * 8, right=0, plus=1.0, sign=1)
    yield relation("at_least_zero", "no result below 0", x * 8, right=0, sign=-1)
    yield relation("centre", "σ(0) = 1/2", x * 0, right=0, plus=0.5)


def _of_squares(case: Case, start: Inputs) -> Iterator[Relation]:
    x, t, entries = start.logits, start.target, np.eye(start.logits.numel())

    def relation(name: str, summary: str, logits: torch.Tensor, target: torch.Tensor, **sides: Any) -> Relation:
        inputs = replace(start, logits=logits, target=target)
        return Relation(name=name, summary=summary, case=case, inputs=inputs, **sides)

    shift = 2.0 ** largest_shift(case)
    yield relation("swapped", "input and target swapped", t, x)
    yield relation("negated", "both negated", -x, -t)
    yield relation("shifted", f"{shift:g} added to both", x + shift, t + shift)
    yield relation("same", "0 where both are the same", x, x.clone(), right=0)
    for name, power in (("scaled", 3), ("scaled_down", -5)):
        factor = 2.0**power
        summary = f"both times {factor:g}: the losses times its square"
        yield relation(name, summary, x * factor, t * factor, right=factor**2 * entries)


def _of_divergence(case: Case, start: Inputs) -> Iterator[Relation]:
    """Where a logarithm of the target is rounded, what that moves is added to the other side, in float64."""
    x, t, entries = start.logits, start.target, np.eye(start.logits.numel())
    exact, mass = values_of(x), values_of(t)
    logs = t.to(torch.float64).log().to(t.dtype)
    family = family_of(case.loss)
    in_logs = family.with_axes(case, log_target=True)
    own = values_of(logs)
    with np.errstate(all="ignore"):
        plain, logged = mass * (np.log(mass) - exact), np.exp(own) * (own - exact)
        rest = mass * (np.log(mass) - own)
    yield Relation(
        name="log_target", summary="the target's logarithm", case=in_logs, inputs=replace(start, target=logs),
        plus=logged - plain,
    )  # fmt: skip
    yield Relation(
        name="log_of_itself", summary="0 from a distribution to itself", case=in_logs, right=0,
        inputs=replace(start, target=x.clone()),
    )  # fmt: skip
    yield Relation(
        name="of_itself", summary="0 from a distribution to itself, but for its rounded logarithm", case=case, right=0,
        inputs=replace(start, logits=logs), plus=rest,
    )  # fmt: skip
    yield Relation(
        name="halved", summary="half the mass: half, and t/2 · log 2 less", case=case, right=entries / 2,
        inputs=replace(start, target=t / 2), plus=-mass / 2 * np.log(2.0),
    )  # fmt: skip
    yield Relation(
        name="lowered", summary="log-probabilities 8 lower: 8 t more", case=case, inputs=replace(start, logits=x - 8),
        plus=mass * (exact - values_of(x - 8)),
    )  # fmt: skip
