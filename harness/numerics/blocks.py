"""Walks over a (N, C, d1, …) tensor in blocks of rows small enough to stay in cache, and converts them exactly."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch

from harness.numerics.formats import Array

#: Elements of one block, 1 MiB in float64. Measured on 1024×32000: 2^15 costs 1.3 times as much (the calls themselves),
#: 2^18 no less; larger blocks fall out of the cache.
BLOCK_ELEMENTS = 2**17


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Rows ``start`` to ``stop`` of the flattened (N, d1, …) rows: slice ``batch`` of N and ``first`` of d1."""

    batch: slice
    first: slice
    start: int
    stop: int

    @property
    def rows(self) -> slice:
        """The slice of the flattened rows."""
        return slice(self.start, self.stop)


def blocks(shape: Sequence[int], limit: int = BLOCK_ELEMENTS) -> Iterator[Block]:
    """Blocks of at most ``limit`` elements (or one step of N or d1, if that is more) that cover ``shape`` in order."""
    batch, classes, *dims = shape
    inner = prod(dims)
    if batch == 0 or inner == 0:
        return
    per_batch = inner * classes
    if not dims or per_batch <= limit:
        step = max(1, limit // max(1, per_batch))
        for low in range(0, batch, step):
            high = min(low + step, batch)
            yield Block(batch=slice(low, high), first=slice(None), start=low * inner, stop=high * inner)
        return
    rest = prod(dims[1:])
    step = max(1, limit // max(1, rest * classes))
    for n in range(batch):
        for low in range(0, dims[0], step):
            high = min(low + step, dims[0])
            start = n * inner
            yield Block(
                batch=slice(n, n + 1), first=slice(low, high), start=start + low * rest, stop=start + high * rest
            )


def class_rows(tensor: torch.Tensor, block: Block, dtype: type[np.floating[Any]]) -> Array:
    """The block of a (N, C, d1, …) tensor as (rows, C) of ``dtype``, every value exact. Never written to by callers."""
    part = tensor.detach()[block.batch]
    if tensor.ndim > 2:
        part = part[:, :, block.first].movedim(1, -1)
    return to_numpy(part.reshape(-1, tensor.shape[1]), dtype)


def flat_rows(tensor: torch.Tensor, dtype: type[np.generic]) -> Array:
    """A (N, d1, …) tensor as one row-major vector of ``dtype``."""
    return to_numpy(tensor.detach().reshape(-1), dtype)


def to_numpy(tensor: torch.Tensor, dtype: type[np.generic]) -> Array:
    """The tensor's values in numpy, through float64 (which holds every supported format exactly) if floating."""
    host = tensor.detach().to("cpu")
    if host.is_floating_point():
        host = host.to(torch.float64)
    return host.numpy().astype(dtype, copy=False)


def full_index(shape: Sequence[int], row: int, column: int) -> tuple[int, ...]:
    """The index into a (N, C, d1, …) tensor of ``column`` in the flattened ``row``."""
    n, *rest = row_index(shape, row)
    return (n, column, *rest)


def row_index(shape: Sequence[int], row: int) -> tuple[int, ...]:
    """The index into the (N, d1, …) tensor of losses of the flattened ``row`` of logits shaped ``shape``."""
    return tuple(int(i) for i in np.unravel_index(row, (shape[0], *shape[2:])))
