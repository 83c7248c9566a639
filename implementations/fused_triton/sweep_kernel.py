"""Long rows: one or several programs walk each, tile by tile, forwards for the statistics and back for the gradient.

How the PARTS programs of a row come together is told by flags, in these combinations (``FLAGS``):

- alone: there is one. last: whoever arrives last merges the parts and writes the loss; there is no gradient.
- wait: each waits for all, merges, and writes the gradient of its own slice. All programs of the grid must be on the
  device at once: a cooperative launch sees to it, or refuses. Rows have a counter each, so none is used twice.
- publish, then merge in a second launch: the same in two steps, for where programs run one after another.
- saved: statistics are there already; only gradients are made.
"""

# No `from __future__ import annotations` here: Triton reads tl.constexpr from the annotations.
import triton
import triton.language as tl

from .pieces import (
    cap,
    cap_slope,
    checked,
    cost_step,
    gradient_tile,
    helper,
    index_target,
    mass_tile,
    merged,
    online_step,
    row_base,
    row_factor,
    row_loss,
    target_slope,
    upstream_of,
)

#: Whether a program walks its slice for statistics, publishes them, merges if last, waits, merges, writes the loss.
FLAGS = {
    "alone": {"WALKS": True, "PUBLISHES": False, "LAST": False, "WAITS": False, "MERGES": False, "LOSS": True},
    "last": {"WALKS": True, "PUBLISHES": True, "LAST": True, "WAITS": False, "MERGES": False, "LOSS": True},
    "wait": {"WALKS": True, "PUBLISHES": True, "LAST": False, "WAITS": True, "MERGES": True, "LOSS": True},
    "publish": {"WALKS": True, "PUBLISHES": True, "LAST": False, "WAITS": False, "MERGES": False, "LOSS": False},
    "merge": {"WALKS": False, "PUBLISHES": False, "LAST": False, "WAITS": False, "MERGES": True, "LOSS": True},
    "saved": {"WALKS": False, "PUBLISHES": False, "LAST": False, "WAITS": False, "MERGES": False, "LOSS": False},
}


@helper
def fold(m, others, half_cost, mass, x, q, MASS: tl.constexpr, ACC: tl.constexpr):
    """One more tile into the statistics of a row."""
    new_m, others = online_step(m, others, x, ACC)
    if MASS:
        half_cost, mass = cost_step(half_cost, mass, m, new_m, x, q, 0)
    return new_m, others, half_cost, mass


@helper
def publish(partial, arrived, R, row, part, m, others, half_cost, mass, PARTS: tl.constexpr):
    """Leave a part's statistics for the others, and only then say so; returns how many had arrived before."""
    at = partial + row * PARTS + part
    step = (row * 0 + R) * PARTS
    tl.store(at, m)
    tl.store(at + step, others)
    tl.store(at + 2 * step, half_cost)
    tl.store(at + 3 * step, mass)
    tl.debug_barrier()
    return tl.atomic_add(arrived + row, 1, sem="acq_rel")


@helper
def wait_for_all(counter, PARTS: tl.constexpr):
    """Until the PARTS programs of a row have published; what they wrote before is seen afterwards."""
    while tl.load(counter, volatile=True) < PARTS:
        pass
    tl.atomic_add(counter, 0, sem="acquire")
    tl.debug_barrier()


@helper
def published(partial, R, row, PARTS: tl.constexpr, PARTS_BLOCK: tl.constexpr, ACC: tl.constexpr):
    """The merged statistics of a row; read past the first-level cache, where another program's are not seen."""
    parts = tl.arange(0, PARTS_BLOCK)
    present = parts < PARTS
    at = partial + row * PARTS + parts
    step = (row * 0 + R) * PARTS
    m = tl.load(at, mask=present, other=0.0, cache_modifier=".cg")
    others = tl.load(at + step, mask=present, other=0.0, cache_modifier=".cg")
    half_cost = tl.load(at + 2 * step, mask=present, other=0.0, cache_modifier=".cg")
    mass = tl.load(at + 3 * step, mask=present, other=0.0, cache_modifier=".cg")
    return merged(m, others, half_cost, mass, present, ACC)


@helper
def cut(base, lead, C, part, slice, VECTOR: tl.constexpr, EDGES: tl.constexpr):
    """(head, body, lo, hi): logits before the first whole vector of a row, logits in whole ones, and this part's."""
    head = C * 0
    body = C
    if EDGES:
        head = tl.minimum((VECTOR - (lead + base) % VECTOR) % VECTOR, C).to(tl.int32)
        body = C - head
    # what whole vectors make up is written so: the compiler then keeps wide accesses under a mask
    body = (body // VECTOR) * VECTOR
    lo = part * ((slice // VECTOR) * VECTOR)
    hi = tl.maximum(tl.minimum(lo + slice, body), lo)
    return head, body, lo, (hi // VECTOR) * VECTOR


@helper
def edge_mask(edge, edge_col, wanted, head, C, VECTOR: tl.constexpr):
    """The logits before the first whole vector and after the last, or none; no mask here mixes tensors and scalars."""
    before = tl.where(wanted, head, 0)
    after = tl.where(wanted, C, 0)
    return tl.where(edge < VECTOR, edge < before, edge_col < after)


@helper
def read_tile(places, cols, mask, col_ok, source, SPREAD: tl.constexpr, KEEP: tl.constexpr, SOFTCAP: tl.constexpr,
              PROBABILITY: tl.constexpr, MASS: tl.constexpr, WEIGHTED: tl.constexpr, ACC: tl.constexpr,
              EVICT: tl.constexpr):  # fmt: skip
    """Logits of the classes ``cols`` as read and as capped (−inf outside the mask), and the target mass of each."""
    raw = tl.load(places, mask=mask, other=float("-inf"), eviction_policy=EVICT).to(ACC)
    x = raw
    if SOFTCAP != 0.0:
        x = tl.where(mask, cap(raw, SOFTCAP, ACC), float("-inf"))
    if MASS:
        target, target_class, weight, weight_stride = source
        at = cols.to(tl.int64)
        q = mass_tile(target + at * target_class, weight + at * weight_stride, mask, col_ok, SPREAD, KEEP,
                      PROBABILITY, WEIGHTED, ACC, 0)  # fmt: skip
    else:
        q = cols
    return raw, x, q


@helper
def place_in(tile, y, start, BLOCK: tl.constexpr):
    """Where in a tile that begins at class ``start`` the target y stands; compared in 32 bits."""
    place = y - start
    return tile == tl.where((place >= 0) & (place < BLOCK), place, -1).to(tl.int32)


@helper
def slope_tile(raw, x, q, here, tile_ok, found, KEEP: tl.constexpr, MASS: tl.constexpr, SOFTCAP: tl.constexpr):
    """The gradient of a tile; ``here`` marks the target's class."""
    m, others, g, total, w, there = found
    value = gradient_tile(x, m, others, g, total, w, q, here, there, KEEP, MASS, 0)
    # dead rows are 0 whatever they hold: a mean over no rows at all has an infinite G
    return tl.where(tile_ok, cap_slope(value, raw, SOFTCAP), 0.0)


@triton.jit(do_not_specialize=["R", "C", "groups", "slice", "lead"])
def sweep_kernel(
    logits, logits_offsets, target, target_offsets, weight, upstream, divisor, loss, row_max, row_others, row_mass,
    grad, grad_offsets, partial, arrived, R, C, inner, logits_outer, logits_inner, logits_class, target_outer,
    target_inner, target_class, grad_outer, grad_inner, grad_class, weight_stride, upstream_stride, ignore_index,
    groups, slice, lead, SPREAD: tl.constexpr, KEEP: tl.constexpr, Z: tl.constexpr, SOFTCAP: tl.constexpr,
    PROBABILITY: tl.constexpr, MASS: tl.constexpr, WEIGHTED: tl.constexpr, MEAN: tl.constexpr, UPSTREAM: tl.constexpr,
    LOGITS_GATHERED: tl.constexpr, TARGET_GATHERED: tl.constexpr, GRAD_GATHERED: tl.constexpr, GRADIENT: tl.constexpr,
    ACC: tl.constexpr, VECTOR: tl.constexpr, EDGES: tl.constexpr, GRAD_ALIGNED: tl.constexpr, BLOCK: tl.constexpr,
    PARTS: tl.constexpr, PARTS_BLOCK: tl.constexpr, WALKS: tl.constexpr, PUBLISHES: tl.constexpr,
    LAST: tl.constexpr, WAITS: tl.constexpr, MERGES: tl.constexpr, LOSS: tl.constexpr, RESIDENT: tl.constexpr,
    FIRST: tl.constexpr, SECOND: tl.constexpr, STAGES: tl.constexpr,
):  # fmt: skip
    """Loss, statistics and (if GRADIENT) gradient of each row of a group, ``slice`` classes a program.

    A row that starts off a 16-byte boundary (EDGES) is cut into a body that whole vectors of VECTOR logits cover and
    the few logits before and after it, which the first part takes as one small tile. ``lead`` is how far ``logits``
    itself lies beyond a boundary. FIRST and SECOND are what the two sweeps ask the caches to do. RESIDENT: a slice is
    one tile and stays in registers between them. UPSTREAM as in ``rows_kernel``.
    """
    part = tl.program_id(0) % PARTS
    zero = tl.program_id(0).to(tl.int64) * 0
    last_row = R
    if UPSTREAM == 2:
        last_row = tl.where(tl.load(upstream).to(ACC) != 1.0, R, 0)
    for index in range(tl.program_id(0) // PARTS, last_row, groups):
        row = zero + index
        row_ok = row >= 0
        base = row_base(row, row_ok, logits_offsets, inner, logits_outer, logits_inner, LOGITS_GATHERED)
        if PROBABILITY:
            to = row_base(row, row_ok, target_offsets, inner, target_outer, target_inner, TARGET_GATHERED)
            y, ignored, inside, w = zero - 1, row < 0, row_ok, tl.where(row_ok, 1.0, 0.0).to(ACC)
        else:
            to = zero
            y, ignored, inside, w = index_target(
                target, row, row_ok, target_class, weight, weight_stride, ignore_index, C, WEIGHTED, ACC
            )
        live = row_ok & (ignored == 0)
        places = logits + base
        # read before any part may write the gradient over it
        x_target = cap(tl.load(places + y * logits_class, mask=inside & (y >= 0), other=0.0).to(ACC), SOFTCAP, ACC)

        head, body, lo, hi = cut(base, lead, C, part, slice, VECTOR, EDGES)
        if VECTOR > 1:
            places = tl.multiple_of(places + head, 16)
        read_to = (tl.where(live, hi, lo) // VECTOR) * VECTOR
        source = (target + to, target_class, weight, weight_stride)
        tile = tl.arange(0, BLOCK)
        edge = tl.arange(0, 2 * VECTOR)
        edge_col = tl.where(edge < VECTOR, edge, head + body + (edge - VECTOR))
        edge_ok = edge_mask(edge, edge_col, part == 0, head, C, VECTOR)
        edge_read = edge_mask(edge, edge_col, live & (part == 0), head, C, VECTOR)

        nothing = tl.where(row_ok, 0.0, 1.0).to(ACC)
        m, others, half_cost, mass = nothing + float("-inf"), nothing, nothing, nothing
        if EDGES:
            edge_raw, edge_x, edge_q = read_tile(
                logits + base + edge_col, edge_col, edge_read, edge_ok, source, SPREAD, KEEP, SOFTCAP,
                PROBABILITY, MASS, WEIGHTED, ACC, FIRST,
            )  # fmt: skip
        if RESIDENT:
            at = lo + tile
            raw, x, q = read_tile(
                places + at.to(tl.int64) * logits_class, head + at, at < read_to, at < hi, source, SPREAD, KEEP,
                SOFTCAP, PROBABILITY, MASS, WEIGHTED, ACC, FIRST,
            )  # fmt: skip
        if WALKS:
            if EDGES:
                m, others, half_cost, mass = fold(m, others, half_cost, mass, edge_x, edge_q, MASS, ACC)
            if RESIDENT:
                m, others, half_cost, mass = fold(m, others, half_cost, mass, x, q, MASS, ACC)
            else:
                for start in tl.range(lo, read_to, BLOCK, num_stages=STAGES):
                    at = start + tile
                    raw, x, q = read_tile(
                        places + at.to(tl.int64) * logits_class, head + at, at < read_to, at < hi, source, SPREAD, KEEP,
                        SOFTCAP, PROBABILITY, MASS, WEIGHTED, ACC, FIRST,
                    )  # fmt: skip
                    m, others, half_cost, mass = fold(m, others, half_cost, mass, x, q, MASS, ACC)

        writes = part == 0
        if PUBLISHES:
            before = publish(partial, arrived, R, row, part, m, others, half_cost, mass, PARTS)
            if LAST:
                writes = before == PARTS - 1
                if writes:
                    m, others, half_cost, mass = published(partial, R, row, PARTS, PARTS_BLOCK, ACC)
        if WAITS:
            wait_for_all(arrived + row, PARTS)
        if MERGES:
            m, others, half_cost, mass = published(partial, R, row, PARTS, PARTS_BLOCK, ACC)
        if LOSS:
            others = checked(m, others)
            value = row_loss(m, others, half_cost, mass, x_target, w, ignored, inside, KEEP, Z, PROBABILITY, MASS)
            tl.store(loss + row, value, mask=writes)
            tl.store(row_max + row, m, mask=writes)
            tl.store(row_others + row, others, mask=writes)
            if MASS:
                tl.store(row_mass + row, mass, mask=writes)
        elif GRADIENT:
            m = tl.load(row_max + row, mask=live, other=0.0)
            others = tl.load(row_others + row, mask=live, other=0.0)
            if MASS:
                mass = tl.load(row_mass + row, mask=live, other=0.0)

        if GRADIENT:
            g = upstream_of(upstream, row, row_ok, upstream_stride, divisor, UPSTREAM, MEAN, ACC)
            total, extra = row_factor(m, others, w, mass, KEEP, Z, PROBABILITY, MASS)
            out = grad + row_base(row, row_ok, grad_offsets, inner, grad_outer, grad_inner, GRAD_GATHERED)
            body_out = out + (row * 0 + head) * grad_class
            if GRAD_ALIGNED:
                body_out = tl.multiple_of(body_out, 16)
            found = (m, others, g, total, w, target_slope(x_target, m, others, g, extra, w))
            if RESIDENT:
                here = place_in(tile, y, head + lo, BLOCK)
                slope = slope_tile(raw, x, q, here, at < read_to, found, KEEP, MASS, SOFTCAP)
                tl.store(body_out + at.to(tl.int64) * grad_class, slope, mask=at < hi, cache_modifier=".cs")
            else:
                tiles = (hi - lo + BLOCK - 1) // BLOCK
                for step in tl.range(0, tiles, num_stages=STAGES):
                    # backwards: the tiles that were read last are the likeliest to be near still
                    start = lo + (tiles - 1 - step) * BLOCK
                    at = start + tile
                    raw, x, q = read_tile(
                        places + at.to(tl.int64) * logits_class, head + at, at < read_to, at < hi, source, SPREAD, KEEP,
                        SOFTCAP, PROBABILITY, MASS, WEIGHTED, ACC, SECOND,
                    )  # fmt: skip
                    here = place_in(tile, y, head + start, BLOCK)
                    slope = slope_tile(raw, x, q, here, at < read_to, found, KEEP, MASS, SOFTCAP)
                    tl.store(body_out + at.to(tl.int64) * grad_class, slope, mask=at < hi, cache_modifier=".cs")
            if EDGES:
                slope = slope_tile(edge_raw, edge_x, edge_q, edge_col == y, edge_read, found, KEEP, MASS, SOFTCAP)
                tl.store(out + edge_col.to(tl.int64) * grad_class, slope, mask=edge_ok)
