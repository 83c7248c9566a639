"""Memory that holds no zeros by luck: what a caller reads without having written it shows."""

from __future__ import annotations

import ctypes
import math
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import torch

from harness.inputs.build import Inputs

#: ``M_PERTURB`` of glibc's <malloc.h>: malloc writes the complement of the byte that is set into what it hands out.
_M_PERTURB = -6
#: An allocator keeps a few freed blocks of a size aside (glibc: 7), for callers that need no alignment. Only blocks
#: beyond them come back to a tensor: with 4 of each in one of three calls of 64 rows, with 16 in nine of ten.
_SEVERAL, _MANY, _MANY_BELOW_BYTES = 4, 16, 4096


@contextmanager
def dirty_memory(inputs: Inputs, fill: float) -> Iterator[None]:
    """While this lasts, new memory on the CPU holds numbers near ``fill``, where the C library can do that (glibc).

    All but a few small blocks that it had set aside: those come as they were left. Elsewhere, on CUDA, and for NaN (of
    which glibc knows none), blocks of likely sizes are filled and freed before.
    """
    _free_blocks(inputs, fill)
    with _perturbed(_byte(fill)):
        yield


def _free_blocks(inputs: Inputs, fill: float) -> None:
    """Free blocks of the sizes that a loss is likely to ask for next, several of each, filled with ``fill``."""
    rows, classes = inputs.logits[:, :1].numel(), inputs.logits.shape[1]
    blocks: list[torch.Tensor] = []
    for dtype in {inputs.logits.dtype, torch.float32, torch.float64}:
        for size in (inputs.logits.numel(), rows, classes, 1):
            number = min(fill, torch.finfo(dtype).max)
            count = _MANY if size * dtype.itemsize <= _MANY_BELOW_BYTES else _SEVERAL
            blocks += [torch.full((size,), number, dtype=dtype, device=inputs.logits.device) for _ in range(count)]


def _byte(fill: float) -> int | None:
    """The leading byte of ``fill`` in float32: repeated, it is a number of that sign and size in each dtype."""
    return None if math.isnan(fill) else struct.pack(">f", fill)[0]


@contextmanager
def _perturbed(byte: int | None) -> Iterator[None]:
    libc = _glibc()
    if libc is None or byte is None:
        yield
        return
    libc.mallopt(_M_PERTURB, byte ^ 0xFF)
    try:
        yield
    finally:
        libc.mallopt(_M_PERTURB, 0)


@lru_cache(maxsize=1)
def _glibc() -> Any:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
