"""Cutting a problem into pieces that stay in the cache."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

#: Logits of one piece: 512 KiB of float32, so that the piece and one buffer beside it fit 1 MiB of L2 cache.
PIECE = 1 << 17


def as_rows(tensor: torch.Tensor) -> torch.Tensor:
    """(N, C, d1, …) as (N, C) where the rest has one entry, else as (N, C, D); a view wherever strides allow one."""
    if tensor.dim() == 2:
        return tensor
    flat = tensor.flatten(2)
    return flat.squeeze(2) if flat.shape[2] == 1 else flat


def per_row(tensor: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """A tensor with an entry for each row, (N, d1, …) or (N·d1·…,), in the shape that `as_rows` gives without C."""
    return tensor.reshape(rows.shape[0], *rows.shape[2:])


@dataclass(frozen=True, slots=True)
class Piece:
    """A range of N and, with D, a range of D."""

    start: int
    size: int
    inner: tuple[int, int] | None = None

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The piece of (N, C, D), (N, C) or, without the classes, (N, D), (N,): a view."""
        found = tensor.narrow(0, self.start, self.size)
        return found if self.inner is None else found.narrow(-1, *self.inner)


def pieces(shape: torch.Size, threads: int) -> Iterator[Piece]:
    """Pieces of about `PIECE` logits that cover ``shape``, (N, C) or (N, C, D); at least a row for each thread."""
    outer, inner = shape[0], shape[2] if len(shape) == 3 else 1
    if inner > 1 and shape[1] * inner > PIECE:
        width = max(threads, PIECE // shape[1])
        for start in range(outer):
            for offset in range(0, inner, width):
                yield Piece(start, 1, (offset, min(width, inner - offset)))
        return
    step = max(1 if inner > 1 else threads, PIECE // max(1, shape[1] * inner))
    for start in range(0, outer, step):
        yield Piece(start, min(step, outer - start))
