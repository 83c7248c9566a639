"""Gradients of probability targets and of the class weight that goes with them."""

# No `from __future__ import annotations` here: Triton reads tl.constexpr from the annotations.
import triton
import triton.language as tl

from .pieces import cap, log1p, row_base, summed, upstream_of


@triton.jit
def target_gradient_kernel(
    logits, logits_offsets, weight, row_max, row_others, upstream, divisor, grad, grad_offsets,
    R, C, inner, logits_outer, logits_inner, logits_class, grad_outer, grad_inner, grad_class, weight_stride,
    upstream_stride, KEEP: tl.constexpr, SOFTCAP: tl.constexpr, WEIGHTED: tl.constexpr, MEAN: tl.constexpr,
    LOGITS_GATHERED: tl.constexpr, GRAD_GATHERED: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """One tile of the gradient of probability targets, G·KEEP·w·(−log p)."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row_ok = rows < R
    col_ok = cols < C
    mask = row_ok[:, None] & col_ok[None, :]
    base = row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
    x = tl.load(logits + base[:, None] + (cols * logits_class)[None, :], mask=mask, other=0.0).to(ACC)
    x = cap(x, SOFTCAP, ACC)
    m = tl.load(row_max + rows, mask=row_ok, other=0.0)
    others = tl.load(row_others + rows, mask=row_ok, other=0.0)
    g = upstream_of(upstream, rows, row_ok, upstream_stride, divisor, 1, MEAN, ACC)
    weights = tl.full((BLOCK,), 1.0, ACC)
    if WEIGHTED:
        weights = tl.load(weight + cols * weight_stride, mask=col_ok, other=0.0).to(ACC)
    half_log = (0.5 * m[:, None] - 0.5 * x) + (0.5 * log1p(others))[:, None]
    factor = g[:, None] * (2.0 * KEEP * weights)[None, :]
    # 0 · ∞ is 0 here as in the loss, but a row that is NaN stays NaN
    value = tl.where(factor == 0.0, (0.0 * others)[:, None], factor * half_log)
    out = row_base(rows, row_ok, grad_offsets, inner, grad_outer, grad_inner, GRAD_GATHERED)
    tl.store(grad + out[:, None] + (cols * grad_class)[None, :], value, mask=mask)


@triton.jit
def weight_gradient_kernel(
    logits, logits_offsets, target, target_offsets, row_max, row_others, upstream, divisor, partial,
    R, C, inner, logits_outer, logits_inner, logits_class, target_outer, target_inner, target_class, upstream_stride,
    rows_per_part, SPREAD: tl.constexpr, KEEP: tl.constexpr, SOFTCAP: tl.constexpr, MEAN: tl.constexpr,
    LOGITS_GATHERED: tl.constexpr, TARGET_GATHERED: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Σ over one part of the rows of G·(q·KEEP + SPREAD)·(−log p) for BLOCK classes; parts are summed afterwards."""
    part = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    col_ok = cols < C
    total = tl.full((BLOCK,), 0.0, ACC)
    for start in range(0, rows_per_part, ROWS):
        rows = part * rows_per_part + start + tl.arange(0, ROWS)
        row_ok = rows < R
        mask = row_ok[:, None] & col_ok[None, :]
        base = row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
        to = row_base(rows, row_ok, target_offsets, inner, target_outer, target_inner, TARGET_GATHERED)
        x = tl.load(logits + base[:, None] + (cols * logits_class)[None, :], mask=mask, other=0.0).to(ACC)
        x = cap(x, SOFTCAP, ACC)
        m = tl.load(row_max + rows, mask=row_ok, other=0.0)
        others = tl.load(row_others + rows, mask=row_ok, other=0.0)
        g = upstream_of(upstream, rows, row_ok, upstream_stride, divisor, 1, MEAN, ACC)
        q = tl.load(target + to[:, None] + (cols * target_class)[None, :], mask=mask, other=0.0).to(ACC)
        half_log = (0.5 * m[:, None] - 0.5 * x) + (0.5 * log1p(others))[:, None]
        factor = g[:, None] * (2.0 * tl.where(mask, q * KEEP + SPREAD, 0.0))
        total += summed(tl.where(factor == 0.0, (0.0 * others)[:, None], factor * half_log), 0)
    tl.store(partial + part * C + cols, total, mask=col_ok)
