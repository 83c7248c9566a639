"""The relations that linear cross-entropy obeys, each made for one starting call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.core.case import Case
from harness.inputs.build import Inputs


def starting_inputs(case: Case, inputs: Inputs) -> Inputs:
    """``inputs`` with hidden, weight and bias rounded to quarters and eighths, so that shifts of them are exact."""
    hidden = _rounded(inputs.logits, 4.0)
    others = {name: _rounded(tensor, 8.0) for name, tensor in inputs.others.items()}
    return replace(inputs, logits=hidden, others=others)


def related(case: Case, start: Inputs) -> Iterator[Relation]:
    """Every relation that starts from ``case`` (reduction none) on ``start``."""
    hidden, weight = start.logits, start.others["linear_weight"]
    generator = torch.Generator().manual_seed(case.seed + 5)
    # ±½, so that h · v is a multiple of 1/8 no larger than the features are many
    vector = (torch.randint(0, 2, (case.features,), generator=generator) - 0.5).to(weight)
    yield _relation(
        "shifted_weight", "one vector added to every class", case, start, {"linear_weight": weight + vector}
    )
    order = torch.randperm(case.classes, generator=generator).to(weight.device)
    moved = {name: tensor[order] for name, tensor in start.others.items()}
    yield _relation(
        "permuted_classes",
        "classes in another order",
        case,
        replace(start, target=order.argsort()[start.target]),
        moved,
    )
    features = torch.randperm(case.features, generator=generator).to(weight.device)
    yield _relation(
        "permuted_features", "features in another order", case, replace(start, logits=hidden[:, features]),
        {"linear_weight": weight[:, features]},
    )  # fmt: skip
    yield _relation(
        "scaled", "hidden doubled and the weight halved", case, replace(start, logits=hidden * 2),
        {"linear_weight": weight / 2},
    )  # fmt: skip
    if "linear_bias" in start.others:
        bias = start.others["linear_bias"]
        yield _relation(
            "shifted_bias", "a number added to the bias of every class", case, start, {"linear_bias": bias + 2}
        )
    yield Relation(
        name="reversed_rows", summary="rows in reverse order", case=case, right=np.eye(case.batch)[::-1],
        inputs=replace(start, logits=hidden.flip(0), target=start.target.flip(0)),
    )  # fmt: skip
    yield from _of_rows(case, start)


def _of_rows(case: Case, start: Inputs) -> Iterator[Relation]:
    """The rows twice over, and the first half of them: what a chunk is cannot matter."""
    twice = replace(case, batch=2 * case.batch)
    yield Relation(
        name="rows_twice", summary="every row twice", case=twice, right=np.vstack([np.eye(case.batch)] * 2),
        inputs=replace(
            start, logits=start.logits.repeat(2, 1), target=start.target.repeat(2),
            grad_output=start.grad_output.repeat(2),
        ),
    )  # fmt: skip
    half = case.batch // 2
    yield Relation(
        name="first_half", summary="the first half of the rows alone", case=replace(case, batch=half),
        right=np.eye(case.batch)[:half],
        inputs=replace(
            start, logits=start.logits[:half], target=start.target[:half], grad_output=start.grad_output[:half]
        ),
    )  # fmt: skip


def _relation(name: str, summary: str, case: Case, inputs: Inputs, others: Mapping[str, torch.Tensor]) -> Relation:
    return Relation(name=name, summary=summary, case=case, inputs=inputs.changed(others))


def _rounded(tensor: torch.Tensor, steps: float) -> torch.Tensor:
    return ((tensor.to(torch.float64).clamp(-2, 2) * steps).round() / steps).to(tensor.dtype)
