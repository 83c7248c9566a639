"""From the losses of the rows to one loss, and what a mean divides by: in float64 and always in the same order."""

# No `from __future__ import annotations` here: Triton reads tl.constexpr from the annotations.
import triton
import triton.language as tl

from .pieces import index_target, summed


@triton.jit(do_not_specialize=["R", "C", "rows_per_part"])
def divisor_kernel(
    target, weight, divisor, R, C, target_class, weight_stride, ignore_index, rows_per_part, WEIGHTED: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Σ of the weights of one part of the index targets; ignored ones weigh 0, those out of range make it NaN."""
    part = tl.program_id(0).to(tl.int64)
    total = tl.full((BLOCK,), 0.0, tl.float64)
    for start in range(0, rows_per_part, BLOCK):
        places = start + tl.arange(0, BLOCK)
        rows = part * rows_per_part + places
        ok = (rows < R) & (places < rows_per_part)
        _y, ignored, _inside, w = index_target(
            target, rows, ok, target_class, weight, weight_stride, ignore_index, C, WEIGHTED, tl.float64
        )
        total += tl.where(ok & (ignored == 0), w, 0.0)
    tl.store(divisor + part, summed(total, 0))


@triton.jit(do_not_specialize=["R", "rows_per_part"])
def sum_kernel(losses, divisor, total, R, rows_per_part, MEAN: tl.constexpr, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    """Σ of one part of the losses, over ``divisor`` for a mean; rounded once, to the dtype of ``total``."""
    part = tl.program_id(0).to(tl.int64)
    found = tl.full((BLOCK,), 0.0, tl.float64)
    for start in range(0, rows_per_part, BLOCK):
        places = start + tl.arange(0, BLOCK)
        rows = part * rows_per_part + places
        found += tl.load(losses + rows, mask=(rows < R) & (places < rows_per_part), other=0.0).to(tl.float64)
    value = summed(found, 0)
    if MEAN:
        value = value / tl.load(divisor)
    if not WIDE:
        # the interpreter knows no way from float64 to bfloat16 but through float32, as torch and the hardware go
        value = value.to(tl.float32)
    tl.store(total + part, value)
