"""Layouts that a tensor can legally have: the same values under other strides, offsets and storages.

Gaps hold NaN, so that reading one shows. What depends on how many dimensions there are takes (N, C, d1, …).
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import torch

Layout = Callable[[torch.Tensor], torch.Tensor]


def strided(values: torch.Tensor, *, stretch: tuple[int, ...], offset: int = 0) -> torch.Tensor:
    """``values`` cut out of a larger tensor: every ``stretch``-th index of each dimension, from ``offset`` on."""
    sizes = [size * step for size, step in zip(values.shape, stretch, strict=True)]
    total = 1
    for size in sizes:
        total *= size
    storage = torch.full((total + offset,), _gap(values), dtype=values.dtype, device=values.device)
    larger = storage[offset:].view(sizes)
    cut = larger[tuple(slice(None, None, step) for step in stretch)]
    cut.copy_(values)
    return cut


def padded(values: torch.Tensor, *, dim: int, before: int, after: int) -> torch.Tensor:
    """``values`` with ``before`` and ``after`` further entries along ``dim`` in storage."""
    sizes = list(values.shape)
    sizes[dim] += before + after
    storage = torch.full(sizes, _gap(values), dtype=values.dtype, device=values.device)
    cut = storage.narrow(dim, before, values.shape[dim])
    cut.copy_(values)
    return cut


def permuted(values: torch.Tensor, order: tuple[int, ...]) -> torch.Tensor:
    """``values`` stored with its dimensions in ``order`` (outermost first)."""
    stored = values.permute(order).contiguous()
    back = [order.index(dim) for dim in range(values.ndim)]
    return stored.permute(back)


def shifted(values: torch.Tensor, offset: int) -> torch.Tensor:
    """``values`` contiguous, from element ``offset`` of its storage on: not aligned to 16 bytes for an odd one."""
    return strided(values, stretch=(1,) * values.ndim, offset=offset)


def _first_repeated(values: torch.Tensor) -> torch.Tensor:
    return values[:1].expand(values.shape)


def _windows(values: torch.Tensor) -> torch.Tensor:
    """Rows that overlap in storage: row r starts at element r of one long row."""
    row = values.reshape(-1)[: values.shape[0] + values.shape[1]].clone()
    return row.as_strided(values.shape, (1, 1))


def _gap(values: torch.Tensor) -> float:
    return float("nan") if values.is_floating_point() else 0


#: Layouts of weights (C,); the last changes the values too.
ONE_DIMENSION: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "every second entry": lambda w: strided(w, stretch=(2,)),
        "an offset of 1 element": lambda w: shifted(w, 1),
        "one entry expanded": _first_repeated,
    }
)

#: Layouts of (N, C) logits; the last two change the values too (they cannot hold any others).
TWO_DIMENSIONS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "sliced rows": lambda x: strided(x, stretch=(2, 1)),
        "padded rows": lambda x: padded(x, dim=1, before=0, after=3),
        "columns cut out": lambda x: padded(x, dim=1, before=5, after=2),
        "every second class": lambda x: strided(x, stretch=(1, 2)),
        "transposed": lambda x: permuted(x, (1, 0)),
        "offset of 1 element": lambda x: shifted(x, 1),
        "offset of 3 elements": lambda x: shifted(x, 3),
        "one row expanded": _first_repeated,
        "overlapping rows": _windows,
    }
)


def more_dimensions(ndim: int) -> dict[str, Layout]:
    """Layouts of (N, C, d1, …) logits of ``ndim`` dimensions, classes second."""
    last = tuple(range(2, ndim))
    ones = (1,) * ndim
    return {
        "contiguous": lambda x: x,
        "classes last": lambda x: permuted(x, (0, *last, 1)),
        "classes first": lambda x: permuted(x, (1, 0, *last)),
        "batch last": lambda x: permuted(x, (*last, 1, 0)),
        "dimensions reversed": lambda x: permuted(x, (0, 1, *reversed(last))),
        "sliced in the last dimension": lambda x: strided(x, stretch=(*ones[:-1], 2)),
        "sliced in classes": lambda x: strided(x, stretch=(1, 2, *ones[2:])),
        "padded classes": lambda x: padded(x, dim=1, before=0, after=2),
        "offset of 1 element": lambda x: shifted(x, 1),
        "one sample expanded": _first_repeated,
    }


#: Layouts of index targets (N,) or (N, d1, …).
TARGETS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "a column of a matrix": lambda t: torch.stack((t, (t + 1) % 2), dim=-1)[..., 0],
        "an offset of 1 element": lambda t: shifted(t, 1),
        "one target expanded": _first_repeated,
        "reversed dimensions": lambda t: permuted(t, tuple(reversed(range(t.ndim)))),
    }
)
