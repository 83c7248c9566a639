"""Fresh memory for large results, in huge pages where Linux hands them out on request."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from functools import cache

import torch

#: glibc maps every block of at least this size afresh (DEFAULT_MMAP_THRESHOLD_MAX), so each write meets a page fault.
_MAPPED = 32 << 20
_HUGE_PAGE = 2 << 20
_MADV_HUGEPAGE = 14


def empty_result(shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """``torch.empty(shape, dtype)`` whose first touch costs one page fault per 2 MiB instead of one per 4 KiB.

    Advice, not a demand: where the kernel is set to give no huge pages, or is no Linux, the tensor is as ever.
    """
    found = torch.empty(shape, dtype=dtype)
    size = found.numel() * found.element_size()
    advise = _madvise()
    if advise is not None and size >= _MAPPED:
        # inwards to whole huge pages: the neighbours of this block are not ours to advise on
        first = -(-found.data_ptr() // _HUGE_PAGE) * _HUGE_PAGE
        last = (found.data_ptr() + size) // _HUGE_PAGE * _HUGE_PAGE
        advise(first, last - first, _MADV_HUGEPAGE)
    return found


@cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if sys.platform != "linux":
        return None
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    function.restype = ctypes.c_int
    return function
