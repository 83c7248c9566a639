"""Index targets and weights, checked and made ready: what each row's loss is multiplied with."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one call."""

    ignore_index: int
    reduction: str
    label_smoothing: float

    @property
    def keep(self) -> float:
        """The share of the target mass that stays where the target is."""
        return 1.0 - self.label_smoothing


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexTargets:
    """Index targets of all rows, shaped (N,) or (N, D)."""

    #: class of each row, int64; 0 where the row is ignored.
    index: torch.Tensor
    #: weight of each row's target, 0 where ignored; None where every row counts once.
    row_weight: torch.Tensor | None
    #: whether each row counts, bool; None where all count.
    counted: torch.Tensor | None

    def divisor(self) -> torch.Tensor | float:
        """What a mean divides by: the sum of `row_weight`, in float64."""
        if self.row_weight is None:
            return float(self.index.numel())
        return self.row_weight.sum(dtype=torch.float64)


def index_targets(
    target: torch.Tensor, weight: torch.Tensor | None, classes: int, ignore_index: int, dtype: torch.dtype
) -> IndexTargets:
    """Targets with ignored ones set aside.

    Args:
        target: (N,) or (N, D), int64 or uint8.
        weight: (C,) or None.
        classes: C.
        ignore_index: targets of this value do not count.
        dtype: of the arithmetic, and of the weights returned.

    Raises:
        IndexError: a target outside [0, C) that is not ``ignore_index``; the message is torch's.
    """
    index = target.long()
    ignored = index == ignore_index
    counted = None
    if ignored.any():
        index = index.masked_fill(ignored, 0)
        counted = ~ignored
    if index.numel():
        least, most = index.aminmax()
        if least < 0 or most >= classes:
            wrong = index[(index < 0) | (index >= classes)]
            raise IndexError(f"Target {int(wrong[0])} is out of bounds.")
    if weight is None:
        return IndexTargets(index=index, row_weight=None if counted is None else counted.to(dtype), counted=counted)
    row_weight = weight.to(dtype)[index]
    if counted is not None:
        row_weight = row_weight.masked_fill(ignored, 0.0)
    return IndexTargets(index=index, row_weight=row_weight, counted=counted)
