"""How the kernels cut a problem: tile sizes and where the rows of a tensor lie, as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Elements of one tile by the bytes of a logit: 32 KiB of accumulators, which 128 or 256 threads hold in registers.
_TILE = {2: 8192, 4: 8192, 8: 4096}
_SMALLEST_BLOCK = 16
_MOST_ROWS = 128
_WEIGHT_GRADIENT_PARTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchPlan:
    """Tile of a program: ``rows`` rows by ``block`` classes (both powers of two), and its warps."""

    rows: int
    block: int
    num_warps: int

    def grid(self, rows: int, classes: int) -> tuple[int, int]:
        """Programs needed to cover ``rows`` × ``classes``."""
        return -(-rows // self.rows), -(-classes // self.block)


def launch_plan(classes: int, itemsize: int) -> LaunchPlan:
    """The tile for rows of ``classes`` logits of ``itemsize`` bytes each; the number of rows has no say.

    A row that fits a tile is one block, and small rows share a program; longer rows are walked block by block.
    """
    tile = _TILE[itemsize]
    block = min(max(_SMALLEST_BLOCK, 1 << (classes - 1).bit_length()), tile)
    rows = min(tile // block, _MOST_ROWS)
    return LaunchPlan(rows=rows, block=block, num_warps=8 if rows * block > 2048 else 4)


def weight_gradient_plan(rows: int, classes: int) -> tuple[LaunchPlan, int]:
    """The tile of the weight gradient, and how many rows each program sums (a multiple of the tile's rows)."""
    block = min(max(_SMALLEST_BLOCK, 1 << (classes - 1).bit_length()), 1024)
    plan = LaunchPlan(rows=8, block=block, num_warps=4)
    per_part = -(-rows // _WEIGHT_GRADIENT_PARTS)
    return plan, max(plan.rows, -(-per_part // plan.rows) * plan.rows)


def collapsed_stride(sizes: Sequence[int], strides: Sequence[int]) -> int | None:
    """The one stride that walks these dimensions in row-major order (0 for a single place), or None if none does."""
    walk = [(size, stride) for size, stride in zip(sizes, strides, strict=True) if size != 1]
    for (_, stride), (inner_size, inner_stride) in pairwise(walk):
        if stride != inner_size * inner_stride:
            return None
    return walk[-1][1] if walk else 0
