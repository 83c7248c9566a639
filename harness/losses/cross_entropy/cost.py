"""Least bytes that one pass of cross-entropy must move, and the memory that judging one case takes."""

from __future__ import annotations

import math

from harness.core.case import Case, dtype_bytes
from harness.core.family import Cost

_INDEX_BYTES = 8
#: Rows are evaluated in float64 in chunks of about this many logits; see :func:`memory`.
ORACLE_CHUNK = 2**20
_ORACLE_ARRAYS = 24


def cost(case: Case) -> Cost:
    """Least bytes of the pass of ``case``, whatever the algorithm; no matrix products, so no flops.

    forward, forward_no_grad: logits once, target, weight; the loss is written. backward: logits once, target, weight
    and grad_output; the gradient is written. forward_backward: as forward, and the gradient is written, which a kernel
    reaches that keeps a row on chip between its two uses. Saved statistics count nothing: they can be made again while
    the row is on chip. Logits of ignored rows need not be read, but their zero gradient is written.
    """
    size = dtype_bytes(case.dtype)
    logits = case.elements * size
    kept = math.floor((1.0 - case.ignored) * case.rows) * case.classes * size
    weight = case.classes * size if case.weight != "none" else 0
    loss = (case.rows if case.reduction == "none" else 1) * size
    read = kept + _target_bytes(case) + weight
    if case.pass_ == "backward":
        return Cost(read_bytes=read + loss, write_bytes=logits)
    return Cost(read_bytes=read, write_bytes=loss + (logits if case.needs_gradient else 0))


def memory(case: Case) -> int:
    """Bytes that judging ``case`` takes on the device it runs on; on the CPU the oracle's share is included.

    Counted in copies of the logits (torch 2.13's eager cross-entropy holds 4: logits, log-probabilities, a zero-filled
    gradient of nll_loss, the gradient; one that computes half precision in float32 holds them at 4 bytes):
    inputs and the copy that shows whether they were changed (2), the candidate's working set (3, at 4 bytes or more),
    and a second gradient and layout slack (2). Probability targets add their own value, gradient and copy.
    The oracle works in chunks of rows, at least one row, with about 24 float64 arrays alive.
    """
    size = dtype_bytes(case.dtype)
    logits = case.elements * size
    total = 4 * logits + 3 * case.elements * max(size, 4)
    total += 3 * logits if case.target_kind == "probability" else 3 * case.rows * _INDEX_BYTES
    total += case.rows * 4 * 8
    if case.device.split(":", 1)[0] == "cuda":
        return total
    chunk = min(case.elements, max(ORACLE_CHUNK, case.classes))
    return total + chunk * 8 * _ORACLE_ARRAYS


def _target_bytes(case: Case) -> int:
    if case.target_kind == "probability":
        return case.elements * dtype_bytes(case.dtype)
    return case.rows * _INDEX_BYTES
