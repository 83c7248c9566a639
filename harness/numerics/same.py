"""Whether two tensors hold the same values, where a NaN is the same as a NaN."""

from __future__ import annotations

from collections.abc import Mapping

import torch


def same_values(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether the tensors have one shape, one dtype and equal values, NaN with NaN (and 0 with -0)."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if torch.equal(one, other):  # without memory of its own
        return True
    return one.is_floating_point() and bool(((one == other) | (one.isnan() & other.isnan())).all())


def changed_names(now: Mapping[str, torch.Tensor], before: Mapping[str, torch.Tensor]) -> list[str]:
    """The names of tensors that no longer hold the values that they had ``before``."""
    return [name for name, tensor in now.items() if not same_values(tensor, before[name])]
