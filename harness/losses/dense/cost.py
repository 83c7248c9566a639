"""Least bytes that a pass of a dense loss must move, and the memory that judging a case takes. Torch-free."""

from __future__ import annotations

from collections.abc import Callable

from harness.core.case import Case, dtype_bytes
from harness.core.family import Cost

_INDEX_BYTES = 8
#: Blocks of 2^17 elements are evaluated in float64, about 40 arrays of which are alive at a time.
_ORACLE_BYTES = 2**17 * 8 * 40


def cost_of(*, tensors: int, result: Callable[[Case], tuple[int, ...]], index: bool = False) -> Callable[[Case], Cost]:
    """``cost`` of a family of ``tensors`` (1 or 2) shaped like the first, or with ``index`` of one and class indices.

    forward, forward_no_grad: every tensor once; the result is written. backward: every tensor once and grad_output; the
    gradient of the first is written. forward_backward: as forward, and the gradient is written (its grad_output is read
    too where it is no scalar), which one kernel reaches that knows grad_output before it begins.
    """

    def cost(case: Case) -> Cost:
        size = dtype_bytes(case.dtype)
        first = case.elements * size
        read = tensors * first + (case.rows * _INDEX_BYTES if index else 0)
        if index:
            read = case.rows * (_INDEX_BYTES + size)  # one entry of each row is all that is picked
        read += case.classes * size if case.weight != "none" else 0
        written = _count(result(case)) * size
        if case.pass_ == "backward":
            return Cost(read_bytes=(read if not index else case.rows * _INDEX_BYTES) + written, write_bytes=first)
        if case.needs_gradient:
            upstream = written if _count(result(case)) > 1 else 0
            return Cost(read_bytes=read + upstream, write_bytes=written + first)
        return Cost(read_bytes=read, write_bytes=written)

    return cost


def memory_of(*, tensors: int) -> Callable[[Case], int]:
    """``memory`` of a family of that many tensors shaped like the first: inputs, copies, working set and gradients."""

    def memory(case: Case) -> int:
        size = dtype_bytes(case.dtype)
        total = case.elements * (4 * tensors * size + 4 * max(size, 4)) + case.rows * 4 * _INDEX_BYTES
        return total if case.device.split(":", 1)[0] == "cuda" else total + _ORACLE_BYTES

    return memory


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
