"""Triton kernels of the fused cross-entropy: row statistics with the loss, and the gradients from those statistics.

A row r of logits (N, C, d1, …) is the C logits of one position, r = n·inner + j with inner = d1·d2·…. Tiles are
(ROWS, BLOCK): BLOCK classes of ROWS rows. All arithmetic is in ACC (float32, or float64 for float64 logits); offsets
are 64-bit. Each row keeps its maximum m and the sum *apart from one maximum*, others = Σ exp(x − m) − 1: the loss is
(m − x_target) + log1p(others), accurate where it is near 0 too, and shifting by the maximum makes it blind to offsets.

MASS says that every class takes a share v = w·(q·KEEP + SPREAD) of the target, KEEP = 1 − label_smoothing and SPREAD =
label_smoothing / C: true for probability targets and for smoothing. The row loss is then Σ v·(−log p).
"""

# No `from __future__ import annotations` here: Triton reads tl.constexpr from the annotations.
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction


def _helper(function):
    """``function`` compiled, for kernels to call; as it is under the interpreter, which patches the language anew
    at every nested call of a compiled function: 2 to 3 ms each, most of a judged call's time.
    """
    compiled = triton.jit(function)
    return compiled if isinstance(compiled, JITFunction) else function


@_helper
def _log1p(x):
    # x·log(1 + x) / ((1 + x) − 1): the rounding of 1 + x cancels (Kahan)
    y = 1.0 + x
    exact = y == 1.0
    return tl.where(exact, x, tl.log(y) * (x / tl.where(exact, 1.0, y - 1.0)))


@_helper
def _exp(x):
    return tl.exp2(x * 1.4426950408889634)


@_helper
def _row_base(rows, row_ok, offsets, inner, outer_stride, inner_stride, GATHERED: tl.constexpr):
    if GATHERED:
        base = tl.load(offsets + rows, mask=row_ok, other=0)
    else:
        base = (rows // inner) * outer_stride + (rows % inner) * inner_stride
    return base


@_helper
def _index_target(
    target, rows, row_ok, target_stride, weight, weight_stride, ignore_index, C,
    WEIGHTED: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    # ignored rows weigh 0; a target outside [0, C) makes its row NaN and reads nothing
    y = tl.load(target + rows * target_stride, mask=row_ok, other=0).to(tl.int64)
    ignored = y == ignore_index
    inside = (y >= 0) & (y < C) & row_ok & (ignored == 0)
    if WEIGHTED:
        w = tl.load(weight + y * weight_stride, mask=inside, other=float("nan")).to(ACC)
    else:
        w = tl.where(inside, tl.full((ROWS,), 1.0, ACC), float("nan"))
    return y, ignored, inside, tl.where(ignored, 0.0, w)


@_helper
def _class_weights(weight, cols, col_ok, weight_stride, WEIGHTED: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr):
    if WEIGHTED:
        weights = tl.load(weight + cols * weight_stride, mask=col_ok, other=0.0).to(ACC)
    else:
        weights = tl.full((BLOCK,), 1.0, ACC)
    return weights


@_helper
def _mass_tile(
    target, base, cols, class_stride, mask, weights, SPREAD: tl.constexpr, KEEP: tl.constexpr,
    PROBABILITY: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    if PROBABILITY:
        q = tl.load(target + base[:, None] + (cols * class_stride)[None, :], mask=mask, other=0.0).to(ACC)
        share = q * KEEP + SPREAD
    else:
        share = tl.full((ROWS, BLOCK), SPREAD, ACC)
    return tl.where(mask, share * weights[None, :], 0.0)


@_helper
def _finite_shift(m):
    # before any finite logit is seen m is −inf, and −inf − −inf would be NaN
    return tl.where(m == float("-inf"), 0.0, m)


@_helper
def _online(m, others, count, x, ACC: tl.constexpr):
    # m: running maximum; count: how many classes attain it; others: Σ exp(x − m) over those that do not
    new_m = tl.maximum(m, tl.max(x, axis=1))
    shift = _finite_shift(new_m)
    same = m == new_m
    top = x == new_m[:, None]
    scale = tl.where(same, 1.0, _exp(m - shift))
    e = _exp(x - shift[:, None])
    others = others * scale + tl.where(same, 0.0, count * scale) + tl.sum(tl.where(top, 0.0, e), axis=1)
    count = tl.where(same, count, 0.0) + tl.sum(tl.where(top, 1.0, 0.0).to(ACC), axis=1)
    return new_m, others, count


@_helper
def _online_cost(half_cost, mass, m, new_m, x, v):
    # half_cost = Σ v·(m − x)/2: in halves, since m − x of the largest finite logits overflows
    shift = _finite_shift(new_m)
    half_gap = 0.5 * shift[:, None] - 0.5 * x
    # no mass on a class costs nothing, even where its logit is −inf
    cost = tl.sum(tl.where(v == 0.0, 0.0, v * half_gap), axis=1)
    half_cost = half_cost + (0.5 * shift - 0.5 * _finite_shift(m)) * mass + cost
    return half_cost, mass + tl.sum(v, axis=1)


@triton.jit
def forward_kernel(
    logits, logits_offsets, target, target_offsets, weight, loss, row_max, row_others, row_mass, row_weight,
    R, C, inner, logits_outer, logits_inner, logits_class, target_outer, target_inner, target_class, weight_stride,
    ignore_index, SPREAD: tl.constexpr, KEEP: tl.constexpr, PROBABILITY: tl.constexpr, MASS: tl.constexpr,
    WEIGHTED: tl.constexpr, LOGITS_GATHERED: tl.constexpr, TARGET_GATHERED: tl.constexpr, ACC: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Loss of each row, with its maximum, its sum apart from one maximum, its target mass and its weight."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    row_ok = rows < R
    base = _row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
    if PROBABILITY:
        target_base = _row_base(rows, row_ok, target_offsets, inner, target_outer, target_inner, TARGET_GATHERED)
        live = row_ok
    else:
        y, ignored, inside, w = _index_target(
            target, rows, row_ok, target_class, weight, weight_stride, ignore_index, C, WEIGHTED, ACC, ROWS
        )
        target_base = rows
        live = row_ok & (ignored == 0)

    m = tl.full((ROWS,), float("-inf"), ACC)
    others = tl.full((ROWS,), 0.0, ACC)
    count = tl.full((ROWS,), 0.0, ACC)
    half_cost = tl.full((ROWS,), 0.0, ACC)
    mass = tl.full((ROWS,), 0.0, ACC)
    for start in range(0, C, BLOCK):
        cols = start + tl.arange(0, BLOCK).to(tl.int64)
        col_ok = cols < C
        mask = live[:, None] & col_ok[None, :]
        x = tl.load(logits + base[:, None] + (cols * logits_class)[None, :], mask=mask, other=float("-inf")).to(ACC)
        new_m, others, count = _online(m, others, count, x, ACC)
        if MASS:
            weights = _class_weights(weight, cols, col_ok, weight_stride, WEIGHTED, ACC, BLOCK)
            v = _mass_tile(
                target, target_base, cols, target_class, mask, weights, SPREAD, KEEP, PROBABILITY, ACC, ROWS, BLOCK
            )
            half_cost, mass = _online_cost(half_cost, mass, m, new_m, x, v)
        m = new_m

    # all −inf, or a +inf: softmax is 0/0 or inf/inf
    bad = (m == float("-inf")) | (m == float("inf"))
    others = tl.where(bad, float("nan"), others + (count - 1.0))
    log_sum = _log1p(others)
    if MASS:
        value = 2.0 * half_cost + log_sum * mass
        tl.store(row_mass + rows, mass, mask=row_ok)
    else:
        value = tl.full((ROWS,), 0.0, ACC)
    if not PROBABILITY:
        x_target = tl.load(logits + base + y * logits_class, mask=inside, other=0.0).to(ACC)
        share = (2.0 * KEEP) * w
        half_cost = (0.5 * m - 0.5 * x_target) + 0.5 * log_sum
        # no mass costs nothing, even where the target's logit is −inf; a row that is NaN stays NaN
        value += tl.where(share == 0.0, 0.0 * log_sum, share * half_cost)
        value = tl.where(ignored, 0.0, tl.where(inside, value, float("nan")))
        tl.store(row_weight + rows, w, mask=row_ok)
    tl.store(loss + rows, value, mask=row_ok)
    tl.store(row_max + rows, m, mask=row_ok)
    tl.store(row_others + rows, others, mask=row_ok)


@triton.jit
def logits_gradient_kernel(
    logits, logits_offsets, target, target_offsets, weight, row_max, row_others, row_mass, upstream, grad, grad_offsets,
    R, C, inner, logits_outer, logits_inner, logits_class, target_outer, target_inner, target_class,
    grad_outer, grad_inner, grad_class, weight_stride, upstream_stride, ignore_index,
    SPREAD: tl.constexpr, KEEP: tl.constexpr, PROBABILITY: tl.constexpr, MASS: tl.constexpr, WEIGHTED: tl.constexpr,
    LOGITS_GATHERED: tl.constexpr, TARGET_GATHERED: tl.constexpr, GRAD_GATHERED: tl.constexpr, ACC: tl.constexpr,
    ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One tile of the gradient of the logits, G·(Q·p − q): q the target mass of the class, Q that of the row."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row_ok = rows < R
    col_ok = cols < C
    if PROBABILITY:
        target_base = _row_base(rows, row_ok, target_offsets, inner, target_outer, target_inner, TARGET_GATHERED)
        live = row_ok
    else:
        y, ignored, _inside, w = _index_target(
            target, rows, row_ok, target_class, weight, weight_stride, ignore_index, C, WEIGHTED, ACC, ROWS
        )
        target_base = rows
        live = row_ok & (ignored == 0)
    mask = live[:, None] & col_ok[None, :]
    base = _row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
    x = tl.load(logits + base[:, None] + (cols * logits_class)[None, :], mask=mask, other=0.0).to(ACC)
    m = tl.load(row_max + rows, mask=live, other=0.0)
    others = tl.load(row_others + rows, mask=live, other=0.0)
    g = tl.load(upstream + rows * upstream_stride, mask=live, other=0.0).to(ACC)
    # a mean over weights that are all 0 divides by 0: NaN for the whole row, as in torch
    g = tl.where(tl.abs(g) == float("inf"), float("nan"), g)
    inverse = 1.0 / (1.0 + others)
    p = _exp(x - m[:, None]) * inverse[:, None]
    if MASS:
        weights = _class_weights(weight, cols, col_ok, weight_stride, WEIGHTED, ACC, BLOCK)
        q = _mass_tile(
            target, target_base, cols, target_class, mask, weights, SPREAD, KEEP, PROBABILITY, ACC, ROWS, BLOCK
        )
        total = tl.load(row_mass + rows, mask=live, other=0.0)
        if not PROBABILITY:
            q = tl.where(cols[None, :] == y[:, None], q + (KEEP * w)[:, None], q)
            total += KEEP * w
        value = g[:, None] * (total[:, None] * p - q)
    else:
        # p − 1 = −others/(1 + others) where the target attains the maximum: no cancellation
        at_target = tl.where(x == m[:, None], -(others * inverse)[:, None], p - 1.0)
        value = (g * w)[:, None] * tl.where(cols[None, :] == y[:, None], at_target, p)
    # dead rows are 0 whatever they hold: a mean over no rows at all has an infinite G
    value = tl.where(mask, value, 0.0)
    grad_base = _row_base(rows, row_ok, grad_offsets, inner, grad_outer, grad_inner, GRAD_GATHERED)
    tl.store(grad + grad_base[:, None] + (cols * grad_class)[None, :], value, mask=row_ok[:, None] & col_ok[None, :])


@triton.jit
def target_gradient_kernel(
    logits, logits_offsets, weight, row_max, row_others, upstream, grad, grad_offsets,
    R, C, inner, logits_outer, logits_inner, logits_class, grad_outer, grad_inner, grad_class, weight_stride,
    upstream_stride, KEEP: tl.constexpr, WEIGHTED: tl.constexpr, LOGITS_GATHERED: tl.constexpr,
    GRAD_GATHERED: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One tile of the gradient of probability targets, G·KEEP·w·(−log p)."""
    rows = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)
    cols = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    row_ok = rows < R
    col_ok = cols < C
    mask = row_ok[:, None] & col_ok[None, :]
    base = _row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
    x = tl.load(logits + base[:, None] + (cols * logits_class)[None, :], mask=mask, other=0.0).to(ACC)
    m = tl.load(row_max + rows, mask=row_ok, other=0.0)
    others = tl.load(row_others + rows, mask=row_ok, other=0.0)
    g = tl.load(upstream + rows * upstream_stride, mask=row_ok, other=0.0).to(ACC)
    weights = _class_weights(weight, cols, col_ok, weight_stride, WEIGHTED, ACC, BLOCK)
    half_log = (0.5 * m[:, None] - 0.5 * x) + (0.5 * _log1p(others))[:, None]
    factor = g[:, None] * (2.0 * KEEP * weights)[None, :]
    # 0 · ∞ is 0 here as in the loss, but a row that is NaN stays NaN
    value = tl.where(factor == 0.0, (0.0 * others)[:, None], factor * half_log)
    grad_base = _row_base(rows, row_ok, grad_offsets, inner, grad_outer, grad_inner, GRAD_GATHERED)
    tl.store(grad + grad_base[:, None] + (cols * grad_class)[None, :], value, mask=mask)


@triton.jit
def weight_gradient_kernel(
    logits, logits_offsets, target, target_offsets, row_max, row_others, upstream, partial,
    R, C, inner, logits_outer, logits_inner, logits_class, target_outer, target_inner, target_class, upstream_stride,
    rows_per_part, SPREAD: tl.constexpr, KEEP: tl.constexpr, LOGITS_GATHERED: tl.constexpr,
    TARGET_GATHERED: tl.constexpr, ACC: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Σ over one part of the rows of G·(q·KEEP + SPREAD)·(−log p) for BLOCK classes; parts are summed afterwards."""
    part = tl.program_id(0).to(tl.int64)
    cols = tl.program_id(1).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    col_ok = cols < C
    ones = tl.full((BLOCK,), 1.0, ACC)
    total = tl.full((BLOCK,), 0.0, ACC)
    for start in range(0, rows_per_part, ROWS):
        rows = part * rows_per_part + start + tl.arange(0, ROWS)
        row_ok = rows < R
        mask = row_ok[:, None] & col_ok[None, :]
        base = _row_base(rows, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
        target_base = _row_base(rows, row_ok, target_offsets, inner, target_outer, target_inner, TARGET_GATHERED)
        x = tl.load(logits + base[:, None] + (cols * logits_class)[None, :], mask=mask, other=0.0).to(ACC)
        m = tl.load(row_max + rows, mask=row_ok, other=0.0)
        others = tl.load(row_others + rows, mask=row_ok, other=0.0)
        g = tl.load(upstream + rows * upstream_stride, mask=row_ok, other=0.0).to(ACC)
        q = _mass_tile(target, target_base, cols, target_class, mask, ones, SPREAD, KEEP, True, ACC, ROWS, BLOCK)
        half_log = (0.5 * m[:, None] - 0.5 * x) + (0.5 * _log1p(others))[:, None]
        factor = g[:, None] * (2.0 * q)
        total += tl.sum(tl.where(factor == 0.0, (0.0 * others)[:, None], factor * half_log), axis=0)
    tl.store(partial + part * C + cols, total, mask=col_ok)
