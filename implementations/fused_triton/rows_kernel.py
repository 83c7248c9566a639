"""Short rows: several of them in one program, held in registers, so that loss and gradient cost one read."""

# No `from __future__ import annotations` here: Triton reads tl.constexpr from the annotations.
import triton
import triton.language as tl

from .pieces import (
    cap,
    cap_slope,
    careful_step,
    checked,
    cost_step,
    gradient_tile,
    index_target,
    largest,
    mass_tile,
    row_base,
    row_factor,
    row_loss,
    target_slope,
    upstream_of,
)


@triton.jit(do_not_specialize=["R", "C"])
def rows_kernel(
    logits, logits_offsets, target, target_offsets, weight, upstream, divisor, loss, row_max, row_others, row_mass,
    grad, grad_offsets, R, C, inner, logits_outer, logits_inner, logits_class, target_outer, target_inner, target_class,
    grad_outer, grad_inner, grad_class, weight_stride, upstream_stride, ignore_index,
    SPREAD: tl.constexpr, KEEP: tl.constexpr, Z: tl.constexpr, SOFTCAP: tl.constexpr, PROBABILITY: tl.constexpr,
    MASS: tl.constexpr, WEIGHTED: tl.constexpr, MEAN: tl.constexpr, UPSTREAM: tl.constexpr,
    LOGITS_GATHERED: tl.constexpr, TARGET_GATHERED: tl.constexpr, GRAD_GATHERED: tl.constexpr,
    SAVED: tl.constexpr, GRADIENT: tl.constexpr, ACC: tl.constexpr, VECTOR: tl.constexpr, ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Loss and statistics of ROWS rows (unless SAVED), and their gradient (if GRADIENT); BLOCK ≥ C.

    UPSTREAM 0: the gradient for an upstream of 1. 1: for ``upstream``. 2: the same, but where it is exactly 1, ``grad``
    holds the gradient already and is left as it is.
    """
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    last_row = R
    if UPSTREAM == 2:
        last_row = tl.where(tl.load(upstream).to(ACC) != 1.0, R, 0)
    row_ok = rows < last_row
    cols = tl.arange(0, BLOCK)
    # what whole vectors make up is written so (VECTOR is 1 elsewhere): the compiler then keeps wide accesses
    col_ok = cols < (C // VECTOR) * VECTOR
    base = row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
    base = (base // VECTOR) * VECTOR
    if PROBABILITY:
        places = row_base(rows, row_ok, target_offsets, inner, target_outer, target_inner, TARGET_GATHERED)
        y, ignored, inside = rows * 0 - 1, rows < 0, row_ok
        w = tl.where(row_ok, 1.0, 0.0).to(ACC)
    else:
        places = rows
        y, ignored, inside, w = index_target(
            target, rows, row_ok, target_class, weight, weight_stride, ignore_index, C, WEIGHTED, ACC
        )
    live = row_ok & (ignored == 0)
    mask = live[:, None] & col_ok[None, :]
    raw = tl.load(
        logits + base[:, None] + (cols.to(tl.int64) * logits_class)[None, :], mask=mask, other=float("-inf")
    ).to(ACC)
    x = raw
    if SOFTCAP != 0.0:
        x = tl.where(mask, cap(raw, SOFTCAP, ACC), float("-inf"))
    q = mass_tile(
        target + places[:, None] + (cols.to(tl.int64) * target_class)[None, :],
        weight + cols.to(tl.int64) * weight_stride, mask, col_ok, SPREAD, KEEP, PROBABILITY, WEIGHTED & MASS, ACC, 1,
    )  # fmt: skip
    none = tl.full((ROWS,), 0.0, ACC)
    mass = none
    x_target = none
    if not PROBABILITY:
        x_target = tl.load(logits + base + y * logits_class, mask=inside, other=0.0).to(ACC)
        x_target = cap(x_target, SOFTCAP, ACC)
    if SAVED:
        m = tl.load(row_max + rows, mask=live, other=0.0)
        others = tl.load(row_others + rows, mask=live, other=0.0)
        if MASS:
            mass = tl.load(row_mass + rows, mask=live, other=0.0)
    else:
        m, others = careful_step(none + float("-inf"), none, largest(x, 1), x, 1, ACC)
        others = checked(m, others)
        half_cost = none
        if MASS:
            half_cost, mass = cost_step(none, none, m, m, x, q, 1)
            tl.store(row_mass + rows, mass, mask=row_ok)
        value = row_loss(m, others, half_cost, mass, x_target, w, ignored, inside, KEEP, Z, PROBABILITY, MASS)
        tl.store(loss + rows, value, mask=row_ok)
        tl.store(row_max + rows, m, mask=row_ok)
        tl.store(row_others + rows, others, mask=row_ok)
    if GRADIENT:
        g = upstream_of(upstream, rows, row_ok, upstream_stride, divisor, UPSTREAM, MEAN, ACC)
        total, extra = row_factor(m, others, w, mass, KEEP, Z, PROBABILITY, MASS)
        at_target = cols[None, :] == y[:, None]
        there = target_slope(x_target, m, others, g, extra, w)
        slope = gradient_tile(x, m, others, g, total, w, q, at_target, there, KEEP, MASS, 1)
        slope = cap_slope(slope, raw, SOFTCAP)
        # dead rows are 0 whatever they hold: a mean over no rows at all has an infinite G
        slope = tl.where(mask, slope, 0.0)
        out = row_base(rows, row_ok, grad_offsets, inner, grad_outer, grad_inner, GRAD_GATHERED)
        tl.store(
            grad + out[:, None] + (cols.to(tl.int64) * grad_class)[None, :], slope,
            mask=row_ok[:, None] & col_ok[None, :],
        )  # fmt: skip
