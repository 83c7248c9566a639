"""Least work of one pass of linear cross-entropy, and the memory that judging one case takes."""

from __future__ import annotations

import math

from harness.core.case import Case, dtype_bytes
from harness.core.family import Cost

_INDEX_BYTES = 8
#: The oracle takes as many rows at a time as have about this many logits.
ORACLE_CHUNK = 2**21
#: float64 arrays of one chunk of logits that are alive at once.
_ORACLE_ARRAYS = 16


def products(case: Case) -> int:
    """Matrix products of N × H × C that the pass needs: the logits, and one for each of the two gradients."""
    return {"backward": 2, "forward_backward": 3}.get(case.pass_, 1)


def cost(case: Case) -> Cost:
    """Least work of the pass of ``case``, whatever the algorithm.

    A product of N × H × C takes 2 N H C floating-point operations: 2 N H C forward, 6 N H C forward and backward, and 4
    N H C for a backward to which the forward left what it needs. Hidden, weight, bias and target are read once; the
    loss is written, and with a gradient those of hidden, weight and bias. Logits need never reach memory, and rows that
    are ignored neither products nor reads.
    """
    size = dtype_bytes(case.dtype)
    kept = math.floor((1.0 - case.ignored) * case.batch)
    parameters = _parameters(case) * size
    loss = (case.batch if case.reduction == "none" else 1) * size
    weight = case.classes * size if case.weight != "none" else 0
    read = kept * case.features * size + parameters + _target_bytes(case) + weight
    read += loss if case.pass_ == "backward" else 0
    write = 0 if case.pass_ == "backward" else loss
    write += case.batch * case.features * size + parameters if case.needs_gradient else 0
    flops = 2 * products(case) * kept * case.features * case.classes
    return Cost(read_bytes=read, write_bytes=write, flops=flops)


def memory(case: Case) -> int:
    """Bytes that judging ``case`` takes on the device it runs on; on the CPU the oracle's share is included.

    Inputs, the copy that shows whether they were changed, and their gradients (3 of hidden, weight and bias); the
    candidate's working set: 3 copies of the logits at 4 bytes or more, as a plain product with a cross-entropy behind
    it holds them. The oracle holds hidden, weight and their absolute values in float64, gradient and budgets of weight
    (4), and works on a chunk of rows of logits.
    """
    size = dtype_bytes(case.dtype)
    tensors = case.batch * case.features + _parameters(case)
    logits = case.batch * case.classes
    total = 3 * tensors * size + 3 * logits * max(size, 4) + 3 * _target_bytes(case)
    if case.device.split(":", 1)[0] == "cuda":
        return total
    chunk = min(logits, max(ORACLE_CHUNK, case.classes))
    return total + 8 * (2 * tensors + 4 * _parameters(case) + _ORACLE_ARRAYS * chunk)


def _parameters(case: Case) -> int:
    """Entries of weight and bias."""
    return case.classes * (case.features + (dict(case.options).get("linear_bias", "none") != "none"))


def _target_bytes(case: Case) -> int:
    if case.target_kind == "probability":
        return case.batch * case.classes * dtype_bytes(case.dtype)
    return case.batch * _INDEX_BYTES
