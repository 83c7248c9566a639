"""w [(1 - t) softplus(x) + p t softplus(-x)] and its derivatives, with what rounding may cost.

With z = exp(-|x|): softplus(x) = max(x, 0) + log1p(z), so that a loss near 0 is no difference. Its error, computed so:

    E = u [c_l log1p(z) + z (c_e + k_e |x|) / (1 + z) + softplus]

torch computes (1 - t) x + l softplus(-x) with l = 1 + (p - 1) t, two terms that cancel where t = 0 and x < 0; ``tight``
and ``standard`` allow the error of both, ``relative`` only that of the sum of positive terms above. With
A = (1 - t) |x| and L = 1 + |p - 1| t:

    relative  w [(1 - t)(E(x) + 3 u softplus(x)) + p t (E(-x) + 3 u softplus(-x))] + 3 u loss
    tight     w [3 u A + L (4 u softplus(-x) + E(-x))] + 3 u loss
    standard  + 2 w u t |x| where t is neither 0 nor 1: max(x, 0) - t x + log1p(z), as TensorFlow forms it
              + w u_h [3 A + 5 L softplus(-x)] + 2 u_h loss: each of torch's operators stores its result in a half dtype

and of the derivative w [(1 - t) σ(x) - p t σ(-x)] likewise, with the error of σ; torch forms it as m σ(x) - p t with
m = p t + 1 - t, whose error ``standard`` allows: near x = 17 with t = 1 it may be 0 in float32.
"""

from __future__ import annotations

import numpy as np

from harness.losses.cross_entropy.grades import LOG_ERROR
from harness.losses.dense.entries import Budgets, Entries, Pointwise, by_grade, size_of
from harness.losses.sigmoid.formula import exp_error, sigmoids
from harness.numerics.formats import Array


def formula(entries: Entries) -> Pointwise:
    """Value and the derivatives by input and target; entries may have a weight and a weight of the positive part."""
    x, t = entries.x, entries.target
    assert t is not None
    one = np.ones(1, dtype=x.dtype)
    w = one if entries.weight is None else entries.weight
    p = entries.others.get("pos_weight", one)
    up, down = softplus(x), softplus(-x)
    value = w * (_times(1 - t, up) + _times(p * t, down))
    sizes = _Sizes(entries=entries, w=size_of(w), p=size_of(p), t=size_of(t))
    slope, bent = _slope(x, t, p, sizes)
    by_target = sizes.of_target(size_of(up), size_of(down))
    return Pointwise(
        value=value, budgets=sizes.of_value(size_of(up), size_of(down), size_of(value)),
        gradients={"logits": (w * slope, bent), "target": (w * (p * down - up), by_target)},
    )  # fmt: skip


def softplus(x: Array) -> Array:
    """log(1 + exp(x)) without overflow or cancellation."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class _Sizes:
    """Absolute values that budgets are made of, float64."""

    def __init__(self, *, entries: Entries, w: Array, p: Array, t: Array) -> None:
        self.u, self.halves = entries.rules.u, entries.rules.halves
        self.x, self.w, self.p, self.t = np.minimum(size_of(entries.x), np.finfo(np.float64).max), w, p, t
        self.exponential = exp_error(entries.x)
        self.z = np.exp(-self.x)
        self.lead = 1.0 + np.abs(p - 1.0) * t

    def of_value(self, up: Array, down: Array, value: Array) -> Budgets:
        error = self.u * (LOG_ERROR * np.log1p(self.z) + self.z * self.exponential / (1.0 + self.z))
        rest = 3.0 * self.u * value
        relative = self.w * (
            (1.0 - self.t) * (error + 4.0 * self.u * up) + self.p * self.t * (error + 4.0 * self.u * down)
        )
        linear = (1.0 - self.t) * self.x
        tight = self.w * (3.0 * self.u * linear + self.lead * (5.0 * self.u * down + error))
        stored = self.w * (3.0 * linear + 5.0 * self.lead * down) + 2.0 * value
        halves = self.halves * stored if self.halves else np.zeros_like(rest)
        # a product with 0 or 1 is exact, and a sure answer keeps its small loss
        soft = np.where((self.t == 0.0) | (self.t == 1.0), 0.0, 2.0 * self.u * self.w * self.t * self.x)
        return by_grade(relative=relative + rest, tight=tight + rest, standard=tight + rest + soft + halves)

    def of_slope(self, up: Array, down: Array) -> Budgets:
        """``up`` and ``down`` are σ(x) and σ(-x)."""
        bent = self.u * up * down * self.exponential
        positive = (1.0 - self.t) * up + self.p * self.t * down
        relative = self.w * (((1.0 - self.t) + self.p * self.t) * bent + 8.0 * self.u * positive)
        tight = self.w * (self.lead * (bent + 6.0 * self.u * down) + 3.0 * self.u * (1.0 - self.t))
        # m σ(x) - p t with m = 1 + (p - 1) t, which cancels where t = 1 and x > 0, and m itself where p is small
        mass, own = self.p * self.t + (1.0 - self.t), self.p * self.t
        formed = self.w * (4.0 * self.lead * up + 2.0 * own)
        standard = tight + self.u * formed + self.w * mass * bent
        return by_grade(
            relative=relative, tight=tight, standard=standard + self.halves * (formed + 2.0 * self.w * positive)
        )

    def of_target(self, up: Array, down: Array) -> Budgets:
        """Of w (p softplus(-x) - softplus(x)), which torch has as w ((p - 1) softplus(-x) - x)."""
        error = self.u * (LOG_ERROR * np.log1p(self.z) + self.z * self.exponential / (1.0 + self.z))
        whole = self.x + (1.0 + np.abs(self.p - 1.0)) * down + up
        tight = self.w * ((2.0 + self.p) * error + 4.0 * self.u * whole)
        stored = 4.0 * self.halves * self.w * whole if self.halves else 0.0
        return by_grade(tight=tight, standard=tight + stored)


def _slope(x: Array, t: Array, p: Array, sizes: _Sizes) -> tuple[Array, Budgets]:
    up, down = sigmoids(x)
    return (1 - t) * up - p * t * down, sizes.of_slope(size_of(up), size_of(down))


def _times(factor: Array, value: Array) -> Array:
    """factor · value, where a factor of 0 gives 0 however large the value."""
    with np.errstate(invalid="ignore"):
        product = factor * value
    return np.where((factor == 0) & np.isinf(value), 0, product)
