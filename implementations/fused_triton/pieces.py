"""What the kernels are made of: arithmetic on one tile, where rows lie, targets, the statistics and gradient of a row.

A tile is (BLOCK,) for one long row or (ROWS, BLOCK) for several short ones; AXIS is the axis of its classes; a value
of a row is a scalar or a (ROWS,) vector accordingly. All arithmetic is in ACC: float32, or float64 for float64 logits.

Each row keeps its maximum m and the sum *apart from one maximum*, others = Σ exp(x − m) − 1. The loss is (m − x_target)
+ log1p(others), which keeps its digits where it is near 0, and p = exp(x − m) / (1 + others); a single saved logsumexp
would lose both on logits with an offset. MASS: every class takes a share v = w·(q·KEEP + SPREAD) of the target,
KEEP = 1 − label_smoothing and SPREAD = label_smoothing / C: true for probability targets and for smoothing.
"""

# No `from __future__ import annotations` here: Triton reads tl.constexpr from the annotations.
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction


def helper(function):
    """``function`` compiled, for kernels to call; as it is under the interpreter.

    The interpreter patches the language anew at every nested call of a compiled function: 2 to 3 ms each, which was
    most of the time that judging took.
    """
    compiled = triton.jit(function)
    return compiled if isinstance(compiled, JITFunction) else function


def _direct(reduction, combine):
    """``reduction`` for kernels to call; under the interpreter, what tl.sum and tl.max come to there.

    They are compiled functions themselves: see ``helper``.
    """
    made = helper(reduction)
    return made if made is not reduction else lambda x, AXIS: tl.reduce(x, AXIS, combine)


def _summed(x, AXIS: tl.constexpr):
    """Σ along an axis."""
    return tl.sum(x, axis=AXIS)


def _largest(x, AXIS: tl.constexpr):
    """The maximum along an axis, NaN left out where there is another value."""
    return tl.max(x, axis=AXIS)


summed = _direct(_summed, tl.standard._sum_combine)
largest = _direct(_largest, tl.standard._elementwise_max)


@helper
def wide(value, AXIS: tl.constexpr):
    """A row's value, shaped to meet its tile."""
    # one return at the end of every helper: the compiler also compiles what follows a constexpr `if … return`
    if AXIS == 1:
        value = value[:, None]
    return value


@helper
def exp(x):
    """e^x by the hardware's 2^x, good to 2 ulp and one more per unit of |x|."""
    return tl.exp2(x * 1.4426950408889634)


@helper
def log1p(x):
    """log(1 + x) as x·log(1 + x) / ((1 + x) − 1): the rounding of 1 + x cancels (Kahan)."""
    y = 1.0 + x
    exact = y == 1.0
    return tl.where(exact, x, tl.log(y) * (x / tl.where(exact, 1.0, y - 1.0)))


@helper
def cap(x, SOFTCAP: tl.constexpr, ACC: tl.constexpr):
    """SOFTCAP · tanh(x / SOFTCAP), or x itself where SOFTCAP is 0."""
    if SOFTCAP != 0.0:
        a = tl.abs(x) * (1.0 / SOFTCAP)
        e = exp(-2.0 * a)
        if tl.float64 == ACC:
            z = -2.0 * a  # expm1 as (e − 1)·z / log(e), Kahan's way
            log_e = tl.log(e)
            near = (a < 0.5) & (log_e != 0.0)
            below = tl.where(near, (e - 1.0) * (z / tl.where(near, log_e, 1.0)), tl.where(a < 0.5, z, e - 1.0))
            t = -below / (2.0 + below)
        else:
            # the series to a^9 is good to 9e-9 below ¼, where 1 − e would cancel
            b = a * a
            series = a + a * b * (-0.3333333333 + b * (0.1333333333 + b * (-0.0539682540 + b * 0.0218694885)))
            t = tl.where(a < 0.25, series, (1.0 - e) / (1.0 + e))
        x = SOFTCAP * tl.where(x < 0.0, -t, t)
    return x


@helper
def cap_slope(value, x, SOFTCAP: tl.constexpr):
    """``value`` times the derivative of ``cap`` at x, 1 − tanh²(x / SOFTCAP) without cancellation."""
    if SOFTCAP != 0.0:
        e = exp(tl.abs(x) * (-2.0 / SOFTCAP))
        value = value * (4.0 * e / ((1.0 + e) * (1.0 + e)))
    return value


@helper
def row_base(rows, row_ok, offsets, inner, outer_stride, inner_stride, GATHERED: tl.constexpr):
    """Where row r = n·inner + j of a tensor (N, C, d1, …) starts, in elements; looked up if no two strides say so."""
    if GATHERED:
        base = tl.load(offsets + rows, mask=row_ok, other=0)
    else:
        base = (rows // inner) * outer_stride + (rows % inner) * inner_stride
    return base


@helper
def index_target(target, rows, row_ok, target_stride, weight, weight_stride, ignore_index, C, WEIGHTED: tl.constexpr,
                 ACC: tl.constexpr):  # fmt: skip
    """Class, whether ignored, whether valid, and weight of index targets.

    Ignored rows weigh 0; a target outside [0, C) makes its row NaN and reads nothing.
    """
    y = tl.load(target + rows * target_stride, mask=row_ok, other=0).to(tl.int64)
    ignored = y == ignore_index
    inside = (y >= 0) & (y < C) & row_ok & (ignored == 0)
    if WEIGHTED:
        w = tl.load(weight + y * weight_stride, mask=inside, other=float("nan")).to(ACC)
    else:
        w = tl.where(inside, 1.0, float("nan")).to(ACC)
    return y, ignored, inside, tl.where(ignored, 0.0, w)


@helper
def mass_tile(places, weight_places, mask, col_ok, SPREAD: tl.constexpr, KEEP: tl.constexpr, PROBABILITY: tl.constexpr,
              WEIGHTED: tl.constexpr, ACC: tl.constexpr, AXIS: tl.constexpr):  # fmt: skip
    """Target mass of each class of a tile, the part of an index target's own class left out."""
    if PROBABILITY:
        share = tl.load(places, mask=mask, other=0.0).to(ACC) * KEEP + SPREAD
    else:
        # a constant beside a select would be float32
        share = tl.where(mask, 1.0, 0.0).to(ACC) * SPREAD
    if WEIGHTED:
        weights = tl.load(weight_places, mask=col_ok, other=0.0).to(ACC)
        share = share * (weights[None, :] if AXIS == 1 else weights)
    return tl.where(mask, share, 0.0)


@helper
def finite_shift(m):
    """m, or 0 before any finite logit is seen: −inf − −inf would be NaN."""
    return tl.where(m == float("-inf"), 0.0, m)


@helper
def careful_step(m, others, top, x, AXIS: tl.constexpr, ACC: tl.constexpr):
    """(m, others) with a tile whose largest logit ``top`` is at least m: maxima are counted, not summed."""
    new_m = tl.maximum(m, top)
    shift = finite_shift(new_m)
    is_top = x == wide(new_m, AXIS)
    rest = summed(tl.where(is_top, 0.0, exp(x - wide(shift, AXIS))), AXIS)
    count = summed(tl.where(is_top, 1.0, 0.0).to(ACC), AXIS)
    # count and the 1 cancel exactly where the tile brings a new maximum
    kept = tl.where(m == new_m, others + count, (1.0 + others) * exp(m - shift) + (count - 1.0))
    return new_m, kept + rest


@helper
def online_step(m, others, x, ACC: tl.constexpr):
    """(m, others) of one long row with one more tile; where the maximum stays, an element costs one exponential."""
    top = largest(x, 0)
    if top < m:
        others += summed(exp(x - m), 0)
    else:
        m, others = careful_step(m, others, top, x, 0, ACC)
    return m, others


@helper
def cost_step(half_cost, mass, m, new_m, x, v, AXIS: tl.constexpr):
    """(Σ v·(m − x)/2, Σ v) with one more tile: in halves, since m − x of the largest finite logits overflows."""
    shift = finite_shift(new_m)
    half_gap = 0.5 * wide(shift, AXIS) - 0.5 * x
    # no mass on a class costs nothing, even where its logit is −inf
    cost = summed(tl.where(v == 0.0, 0.0, v * half_gap), AXIS)
    half_cost = half_cost + (0.5 * shift - 0.5 * finite_shift(m)) * mass + cost
    return half_cost, mass + summed(v, AXIS)


@helper
def merged(m, others, half_cost, mass, present, ACC: tl.constexpr):
    """The statistics of a row from those of its parts (vectors), in the order of the parts: always the same bits."""
    m = tl.where(present, m, float("-inf"))
    top = largest(m, 0)
    shift = finite_shift(top)
    is_top = (m == top) & present
    count = summed(tl.where(is_top, 1.0, 0.0).to(ACC), 0)
    grown = tl.where(is_top, others, (1.0 + others) * exp(m - shift))
    total = summed(tl.where(present, grown, 0.0), 0) + (count - 1.0)
    moved = half_cost + (0.5 * shift - 0.5 * finite_shift(m)) * mass
    return top, total, summed(tl.where(present, moved, 0.0), 0), summed(tl.where(present, mass, 0.0), 0)


@helper
def checked(m, others):
    """``others``, NaN for rows that are all −inf or hold a +inf: softmax is 0/0 or inf/inf."""
    return tl.where((m == float("-inf")) | (m == float("inf")), float("nan"), others)


@helper
def row_loss(m, others, half_cost, mass, x_target, w, ignored, inside, KEEP: tl.constexpr, Z: tl.constexpr,
             PROBABILITY: tl.constexpr, MASS: tl.constexpr):  # fmt: skip
    """Loss of a row from its statistics; w is its weight, 1 for probability targets."""
    log_sum = log1p(others)
    value = 0.0 * others
    if MASS:
        value += 2.0 * half_cost + log_sum * mass
    if not PROBABILITY:
        share = (2.0 * KEEP) * w
        half = (0.5 * m - 0.5 * x_target) + 0.5 * log_sum
        # no mass costs nothing, even where the target's logit is −inf; a row that is NaN stays NaN
        value += tl.where(share == 0.0, 0.0 * log_sum, share * half)
    if Z != 0.0:
        lse = m + log_sum
        value += (Z * w) * (lse * lse)
    if not PROBABILITY:
        value = tl.where(ignored, 0.0, tl.where(inside, value, float("nan")))
    return value


@helper
def row_factor(m, others, w, mass, KEEP: tl.constexpr, Z: tl.constexpr, PROBABILITY: tl.constexpr,
               MASS: tl.constexpr):  # fmt: skip
    """Q, what multiplies p in the gradient G·(Q·p − q), and the share of z-loss in it."""
    extra = 0.0 * w
    if Z != 0.0:
        extra += (2.0 * Z) * w * (m + log1p(others))
    total = extra
    if MASS:
        total += mass
    if not PROBABILITY:
        total += KEEP * w
    return total, extra


@helper
def target_slope(x_target, m, others, g, extra, w):
    """The gradient at an index target where no other class takes mass; x_target is its logit."""
    inverse = 1.0 / (1.0 + others)
    p = exp(x_target - m) * inverse
    # p − 1 = −others/(1 + others) where the target attains the maximum: no cancellation
    less_one = tl.where(x_target == m, -(others * inverse), p - 1.0)
    return (g * w) * less_one + (g * extra) * p


@helper
def gradient_tile(x, m, others, g, total, w, q, at_target, slope_there, KEEP: tl.constexpr, MASS: tl.constexpr,
                  AXIS: tl.constexpr):  # fmt: skip
    """G·(Q·p − q) of a tile; ``at_target`` marks the class of an index target, and ``slope_there`` is what it gets."""
    e = exp(x - wide(m, AXIS))
    inverse = 1.0 / (1.0 + others)
    if MASS:
        q = tl.where(at_target, q + wide(KEEP * w, AXIS), q)
        value = wide(g, AXIS) * (wide(total, AXIS) * (e * wide(inverse, AXIS)) - q)
    else:
        value = tl.where(at_target, wide(slope_there, AXIS), e * wide(inverse * (g * total), AXIS))
    return value


@helper
def upstream_of(upstream, rows, row_ok, stride, divisor, UPSTREAM: tl.constexpr, MEAN: tl.constexpr, ACC: tl.constexpr):
    """Gradient from above of each row, over the divisor of a mean; 1 where none is given yet."""
    if UPSTREAM == 0:
        g = tl.where(row_ok, 1.0, 0.0).to(tl.float64)
    else:
        g = tl.load(upstream + rows * stride, mask=row_ok, other=0.0).to(ACC).to(tl.float64)
    if MEAN:
        g = g / tl.load(divisor)
    g = g.to(ACC)
    # a mean over weights that are all 0 divides by 0: NaN for the whole row, as in torch
    return tl.where(tl.abs(g) == float("inf"), float("nan"), g)
