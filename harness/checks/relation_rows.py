"""The relations that softmax and log-softmax obey, each made for one starting call on a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.checks.relation_shared import largest_shift, moved, quarters
from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.dense.along import dim_of
from harness.numerics.formats import Array


def starting_inputs(case: Case, inputs: Inputs) -> Inputs:
    """``inputs`` rounded to quarters, so that shifts of them are exact in every dtype."""
    return replace(inputs, logits=quarters(inputs.logits))


def related(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every relation that starts from ``case`` on ``start``."""
    x, along = start.logits, dim_of(case)
    is_log = case.loss == "log_softmax"
    yield Relation(
        name="sums_to_one", summary="the probabilities along the dimension sum to 1", case=case, inputs=start,
        left=_line_sums(tuple(x.shape), along), right=0, plus=1.0, read=_exponentials if is_log else None,
    )  # fmt: skip
    wide = replace(start, logits=x * 16)
    yield Relation(
        name="at_most_one", summary="no probability above 1", case=case, inputs=wide, right=0,
        plus=0.0 if is_log else 1.0, sign=1,
    )  # fmt: skip
    if not is_log:
        yield Relation(name="at_least_zero", summary="no probability below 0", case=case, inputs=wide, right=0, sign=-1)
    yield from _shifted(case, start, along)
    yield moved(case, start, dim=along, name="permuted", summary="another order along the dimension")
    yield moved(case, start, dim=1 - along, name="permuted_lines", summary="lines in another order")
    yield _others_stay(case, start, along)


def _shifted(case: Case, start: Inputs, along: int) -> Iterator[Relation]:
    lines = start.logits.shape[1 - along]
    most = largest_shift(case)
    for name, bits, signs in (("shifted", 3, (1, -1)), ("shifted_up", most, (1, 1)), ("shifted_down", most, (-1, -1))):
        steps = [signs[line % 2] * 2.0 ** max(bits - line % 3, 1) for line in range(lines)]
        shift = start.logits.new_tensor(steps).unsqueeze(along)
        summary = "every line shifted by a number of its own"
        yield Relation(name=name, summary=summary, case=case, inputs=replace(start, logits=start.logits + shift))


def _others_stay(case: Case, start: Inputs, along: int) -> Relation:
    """One line raised far above the others, which must not notice."""
    line = start.logits.shape[1 - along] // 2
    logits = start.logits.clone()
    logits.select(1 - along, line).add_(2.0 ** largest_shift(case))
    kept = torch.ones(logits.shape, dtype=torch.bool)
    kept.select(1 - along, line).fill_(False)
    others = np.eye(logits.numel())[kept.reshape(-1).numpy()]
    return Relation(
        name="one_line", summary="another line changed", case=case, inputs=replace(start, logits=logits), left=others,
        right=others,
    )  # fmt: skip


def _line_sums(shape: tuple[int, ...], along: int) -> Array:
    """A matrix whose product with the flat result sums along a dimension."""
    places = np.arange(shape[0] * shape[1]).reshape(shape)
    lines = places if along == 1 else places.T
    sums = np.zeros((len(lines), places.size))
    for row, line in enumerate(lines):
        sums[row, line] = 1.0
    return sums


def _exponentials(losses: Array, budgets: Array) -> tuple[Array, Array]:
    """Probabilities, and how far exp carries what their logarithms may be off."""
    return np.exp(losses), np.exp(losses) * np.expm1(budgets)
