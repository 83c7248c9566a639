"""What the relations of several losses are made of: round numbers, places that move, reductions and weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from harness.checks.relation import Relation
from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.numerics.formats import FORMATS, Array

#: Bits below the leading one that round numbers keep: shifts of them by up to 2^(p - 1 - BITS) are exact.
FRACTION_BITS = 2


def quarters(tensor: torch.Tensor, *, most: float = 4.0) -> torch.Tensor:
    """``tensor`` within ±``most``, rounded to multiples of 2^-2."""
    scale = 2.0**FRACTION_BITS
    return ((tensor.to(torch.float64).clamp(-most, most) * scale).round() / scale).to(tensor.dtype)


def largest_shift(case: Case) -> int:
    """The exponent of the largest power of two that can be added to quarters within ±4 without rounding."""
    return FORMATS[case.dtype].precision - 2 - FRACTION_BITS


def values_of(tensor: torch.Tensor) -> Array:
    """The values of ``tensor`` as flat float64."""
    return tensor.detach().to(torch.float64).cpu().reshape(-1).numpy()


def moved(case: Case, start: Inputs, *, dim: int, name: str, summary: str) -> Relation:
    """The entries of every tensor in another order along ``dim``: those of the result follow."""
    shape = tuple(start.logits.shape)
    order = torch.randperm(shape[dim], generator=torch.Generator().manual_seed(case.seed + 3))
    places = torch.arange(start.logits.numel()).reshape(shape).index_select(dim, order).reshape(-1).numpy()
    tensors = {"logits": start.logits, "grad_output": start.grad_output, "target": start.target}
    changed = {
        key: tensor.index_select(dim, order.to(tensor.device)) for key, tensor in tensors.items() if tensor is not None
    }
    return Relation(
        name=name, summary=summary, case=case, inputs=start.changed(changed), right=np.eye(len(places))[places]
    )


def reductions(case: Case, start: Inputs, losses: int) -> Iterator[Relation]:
    """Each reduction of the family is the sum of the ``losses`` unreduced ones, divided."""
    axis = family_of(case.loss).axis("reduction")
    assert axis is not None
    below = {"sum": 1, "mean": losses, "batchmean": case.batch}
    for reduction in axis.allowed:
        if reduction == "none":
            continue
        yield Relation(
            name=reduction, summary=f"{reduction} of what reduction none returns",
            case=replace(case, reduction=reduction), right=np.ones((1, losses)) / below[reduction],
            inputs=replace(start, grad_output=start.grad_output.new_ones(())),
        )  # fmt: skip


def drawn_weight(case: Case, like: torch.Tensor) -> torch.Tensor:
    """A weight (C,) of eighths between 1/2 and 3/2."""
    generator = torch.Generator().manual_seed(case.seed + 5)
    return (torch.randint(4, 12, (case.classes,), generator=generator) / 8.0).to(like)
