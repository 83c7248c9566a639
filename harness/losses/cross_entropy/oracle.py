"""The true cross-entropy of a block of rows, in numpy: loss, and gradient of logits, target and weight.

With a = max x, d_i = a - x_i, e_i = exp(-d_i), s1 = Σ e_i without one maximal class, s = 1 + s1:

    L = log1p(s1)     lse = a + L     p_i = e_i / s     lse - x_i = L + d_i

so that neither a loss near 0 nor the target's gradient is ever a difference of nearly equal numbers.
Source: Blanchard, Higham & Higham, IMA J. Numer. Anal. 41(4), 2021 (the log1p form of the authors' own code).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from harness.losses.cross_entropy.problem import Mass, times
from harness.numerics.formats import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Softmax:
    """k rows of logits: what the truth and the budgets are made of, all in the oracle's dtype.

    ``x`` (k, C) are the logits; ``reach`` (k, C) is x - a = -d, cut off where exp(-d) is exactly 0; ``e`` (k, C)
    its exp. ``top`` a, ``s1``, ``s``, ``log_sum`` L, ``spread`` D = Σ p d and ``spread1`` D1 = Σ e d / s1 are (k,).
    Rows that hold NaN or +inf, or nothing but -inf, are not ``sound``: torch answers NaN for all of them.
    """

    x: Array
    reach: Array
    e: Array
    top: Array
    s1: Array
    s: Array
    log_sum: Array
    spread: Array
    spread1: Array
    sound: Array

    def take(self, rows: Array) -> Softmax:
        """The rows where ``rows`` is True."""
        return Softmax(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """The loss of k rows and the parts of it that budgets need, all (k,) but ``distance``.

    ``value`` is the loss; ``point_distance`` d_t; ``distance`` (k, C) is a - x where mass is spread (else None);
    ``spread_mass`` Σ|q|, ``spread_distance`` Σ|q| d and ``off_top`` Σ|q| over d > 0, of the spread mass alone.
    """

    value: Array
    point_distance: Array | None
    distance: Array | None
    spread_mass: Array | None
    spread_distance: Array | None
    off_top: Array | None


def softmax_of(x: Array) -> Softmax:
    """The softmax of each row of ``x`` (k, C) in its own dtype; nothing is raised for rows that are not sound."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore", under="ignore"):
        rows, first = np.arange(len(x)), x.argmax(axis=1)
        top = x[rows, first]  # NaN wherever the row has one
        sound = np.isfinite(top)
        reach = x - top[:, None]
        # beyond this exp is exactly 0, and 0 · d stays 0 where d is infinite
        lowest = -12000.0 if x.dtype == np.longdouble else -800.0
        if not reach.min() >= lowest:
            np.maximum(reach, lowest, out=reach)
        e = np.exp(reach)
        e[rows, first] = 0.0
        s1 = e.sum(axis=1)
        e[rows, first] = 1.0
        weighted = np.maximum(-np.einsum("ij,ij->i", e, reach), 0.0)
        s = 1.0 + s1
        return Softmax(
            x=x, reach=reach, e=e, top=top, s1=s1, s=s, log_sum=np.log1p(s1), spread=weighted / s,
            spread1=np.where(s1 > 0.0, weighted / s1, 0.0), sound=sound,
        )  # fmt: skip


def loss_of(rows: Softmax, mass: Mass) -> LossTerms:
    """The loss of each row, with its parts; NaN for rows that are not sound."""
    with np.errstate(invalid="ignore", over="ignore"):
        value = np.zeros_like(rows.log_sum)
        point = distance = None
        if mass.point is not None:
            point = rows.top - rows.x[np.arange(len(rows.x)), mass.column]
            value = value + times(mass.point, rows.log_sum + point)
        sums: tuple[Array | None, Array | None, Array | None] = (None, None, None)
        if mass.spread is not None:
            distance = rows.top[:, None] - rows.x
            value = value + times(mass.spread, rows.log_sum[:, None] + distance).sum(axis=1)
            sums = _spread_sums(mass.spread, distance)
        value = np.where(rows.sound, value, np.nan)
        return LossTerms(
            value=value, point_distance=point, distance=distance,
            spread_mass=sums[0], spread_distance=sums[1], off_top=sums[2],
        )  # fmt: skip


def grad_logits_of(rows: Softmax, mass: Mass, scale: Array) -> Array:
    """G (Q p - q), (k, C), of sound rows; the target column of index targets without the cancellation of p - 1."""
    if mass.spread is not None:
        gradient = rows.e * (mass.total / rows.s)[:, None]
        gradient -= mass.spread
        if mass.column is not None and mass.point is not None:
            gradient[np.arange(len(rows.e)), mass.column] -= mass.point
        gradient *= scale[:, None]
        return gradient
    gradient = rows.e * (scale * mass.total / rows.s)[:, None]
    at = (np.arange(len(rows.e)), mass.column)
    others = np.where(rows.reach[at] < 0.0, 1.0 + (rows.s1 - rows.e[at]), rows.s1)
    gradient[at] = -scale * mass.total * others / rows.s
    return gradient


def grad_target_of(rows: Softmax, distance: Array, scale: Array, weight: Array | None, smoothing: float) -> Array:
    """G w (1 - ε) (lse - x), (k, C): the gradient of the loss by probability targets."""
    factor = scale[:, None] * (1 - scale.dtype.type(smoothing))
    factor = factor if weight is None else factor * weight
    return times(np.broadcast_to(factor, distance.shape), rows.log_sum[:, None] + distance)


def _spread_sums(spread: Array, distance: Array) -> tuple[Array, Array, Array]:
    size = np.abs(spread)
    off_top = np.where(distance > 0.0, size, 0.0)
    total = np.broadcast_to(size.sum(axis=1), (len(distance),))
    return total, times(size, distance).sum(axis=1), off_top.sum(axis=1)
