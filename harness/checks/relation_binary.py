"""The relations that both binary cross-entropies obey, each made for one starting call on a matrix."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.checks.relation_shared import drawn_weight, moved, quarters, reductions, values_of
from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.numerics.formats import Array

#: Probabilities are multiples of 1/256 and labels of 1/16, so that p and 1 - p are exact in every dtype.
_P_STEPS, _T_STEPS = 256.0, 16.0
_LOG_FLOOR = 100.0


def starting_inputs(case: Case, inputs: Inputs) -> Inputs:
    """``inputs`` in round numbers: logits within ±16, or probabilities other than 0 and 1."""
    target = ((inputs.target.to(torch.float64) * _T_STEPS).round() / _T_STEPS).to(inputs.target.dtype)
    if case.loss == "binary_cross_entropy":
        steps = (inputs.logits.to(torch.float64) * _P_STEPS).round().clamp(1, _P_STEPS - 1)
        return replace(inputs, logits=(steps / _P_STEPS).to(inputs.logits.dtype), target=target)
    return replace(inputs, logits=quarters(inputs.logits) * 4, target=target)


def related(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every relation that starts from ``case`` (reduction none) on ``start``."""
    weight = drawn_weight(case, start.logits)
    of_entries = np.tile(values_of(weight), case.batch)
    yield Relation(
        name="weights", summary="each loss times its class's weight", case=replace(case, weight="uniform"),
        inputs=replace(start, weight=weight), right=np.diag(of_entries),
    )  # fmt: skip
    yield from (_of_probabilities if case.loss == "binary_cross_entropy" else _of_logits)(case, start)
    yield moved(case, start, dim=0, name="permuted_rows", summary="rows in another order")
    if case.dtype == "float32":
        yield from reductions(case, start, start.logits.numel())


def _of_probabilities(case: Case, start: Inputs) -> Iterator[Relation]:
    p, t = start.logits, start.target
    yield Relation(
        name="mirrored", summary="1 - p with 1 - t", case=case, inputs=replace(start, logits=1 - p, target=1 - t)
    )
    sure = (t >= 0.5).to(t.dtype)
    yield Relation(
        name="sure_and_right", summary="0 for a certainty that is right", case=case, right=0,
        inputs=replace(start, logits=sure, target=sure.clone()),
    )  # fmt: skip
    yield Relation(
        name="sure_and_wrong", summary="100 for a certainty that is wrong: logarithms stop at -100", case=case, right=0,
        plus=_LOG_FLOOR, inputs=replace(start, logits=1 - sure, target=sure),
    )  # fmt: skip


def _of_logits(case: Case, start: Inputs) -> Iterator[Relation]:
    x, t = start.logits, start.target
    exact, label = values_of(x), values_of(t)
    yield Relation(name="mirrored", summary="-x with 1 - t", case=case, inputs=replace(start, logits=-x, target=1 - t))
    yield Relation(
        name="other_label", summary="1 - t instead of t: (1 - 2 t) x less", case=case,
        inputs=replace(start, target=1 - t), plus=-(1 - 2 * label) * exact,
    )  # fmt: skip
    family = family_of(case.loss)
    ones = {"pos_weight": torch.ones_like(x[0])}
    yield Relation(
        name="pos_weight_ones", summary="weights of 1 on the positive part",
        case=family.with_axes(case, pos_weight="uniform"), inputs=replace(start, others={**start.others, **ones}),
    )  # fmt: skip
    yield Relation(
        name="of_probabilities", summary="binary cross-entropy of the probabilities", case=case, inputs=start, right=0,
        plus=-(label * _log_sigmoid(exact) + (1 - label) * _log_sigmoid(-exact)),
    )  # fmt: skip
    far = replace(start, logits=x * 8)
    least = np.maximum((1 - label) * exact, -label * exact) * 8
    yield Relation(
        name="at_least_linear", summary="no loss below (1 - t) x and -t x", case=case, inputs=far, right=0, plus=least,
        sign=-1,
    )  # fmt: skip


def _log_sigmoid(x: Array) -> Array:
    """log σ(x) by way of the smaller of the two probabilities, which has all its bits."""
    small = 1.0 / (1.0 + np.exp(np.abs(x)))
    return np.where(x > 0, np.log1p(-small), np.log(small))
