"""Whether two tensors hold the same values, where a NaN is the same as a NaN."""

from __future__ import annotations

import torch


def same_values(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether the tensors have one shape, one dtype and equal values, NaN with NaN (and 0 with -0)."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if torch.equal(one, other):  # without memory of its own
        return True
    return one.is_floating_point() and bool(((one == other) | (one.isnan() & other.isnan())).all())
