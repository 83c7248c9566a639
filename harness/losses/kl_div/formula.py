"""t (log t - x), or exp(t) (t - x) of a target in logarithms, and the derivatives, with what rounding may cost.

    value  |t log t| (c_l + 2) u + 2 u |t x| + u |value|          both t log t - t x and t (log t - x) keep it
           |value| u (c_e + k_e |t| + 3)                          log_target: exp(t) (t - x)
           + 2 u exp(t) (|t| + |x|)                               ``standard``: exp(t) t - exp(t) x
           + u_h of each stored intermediate in a half dtype      ``standard``

A probability of 0 contributes 0 whatever the log-probability, -inf included: 0 · log 0 = 0. (torch answers NaN there.)
"""

from __future__ import annotations

import numpy as np

from harness.losses.cross_entropy.grades import LOG_ERROR
from harness.losses.dense.entries import Entries, Pointwise, by_grade, size_of
from harness.losses.sigmoid.formula import exp_error
from harness.numerics.formats import Array


def formula(entries: Entries) -> Pointwise:
    """Value and derivatives by input and target."""
    assert entries.target is not None
    if dict(entries.case.options).get("log_target"):
        return _of_logarithms(entries, entries.target)
    return _of_probabilities(entries, entries.target)


def _of_probabilities(entries: Entries, t: Array) -> Pointwise:
    x, u, halves = entries.x, entries.rules.u, entries.rules.halves
    logs = np.log(t)
    own, cross = _unless_zero(t, t * logs), _unless_zero(t, t * x)
    value = own - cross
    sizes = (LOG_ERROR + 2.0) * size_of(own) + 2.0 * size_of(cross) + size_of(value)
    stored = 2.0 * size_of(own) + 2.0 * size_of(cross) + size_of(value)
    slope = logs + 1 - x
    steep = (LOG_ERROR + 2.0) * size_of(logs) + 2.0 * size_of(x) + 4.0
    return Pointwise(
        value=value, budgets=by_grade(tight=u * sizes, standard=u * sizes + halves * stored),
        gradients={
            "logits": (-t, by_grade(tight=u * size_of(t), standard=(u + halves) * size_of(t))),
            "target": (slope, by_grade(tight=u * steep, standard=(u + halves) * steep)),
        },
        undefined={"target": t == 0},
    )  # fmt: skip


def _of_logarithms(entries: Entries, t: Array) -> Pointwise:
    x, u, halves = entries.x, entries.rules.u, entries.rules.halves
    mass = np.exp(t)
    value, slope = mass * (t - x), mass * (t - x + 1)
    exponential, three = exp_error(t), 3.0 * halves
    size, own = size_of(value), size_of(mass)
    steep = size + own
    # an entropy less a cross-entropy: each product rounds
    apart = 2.0 * u * _unless_zero(own, own * (size_of(t) + size_of(x)))
    return Pointwise(
        value=value,
        budgets=by_grade(
            tight=u * size * (exponential + 3.0), standard=size * (u * (exponential + 3.0) + three) + apart
        ),
        gradients={
            "logits": (-mass, by_grade(
                tight=u * own * (exponential + 1.0), standard=own * (u * (exponential + 1.0) + 2.0 * halves)
            )),
            "target": (slope, by_grade(
                tight=u * steep * (exponential + 4.0), standard=steep * (u * (exponential + 4.0) + 4.0 * halves) + apart
            )),
        },
    )  # fmt: skip


def _unless_zero(factor: Array, product: Array) -> Array:
    return np.where(factor == 0, 0, product)
