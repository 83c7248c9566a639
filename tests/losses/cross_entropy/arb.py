"""The true cross-entropy of small rows in ball arithmetic of 256 bits (python-flint), independent of the oracle."""

import math

import flint
import numpy as np

flint.ctx.prec = 256
ZERO = flint.arb(0)


def exact(value):
    """A numpy float of any width as an exact ball."""
    high = float(value)
    return flint.arb(high) if not math.isfinite(high) else flint.arb(high) + flint.arb(float(value - type(value)(high)))


def error(found, truth):
    """An upper bound of |found - truth|."""
    return float(abs(exact(found) - truth).upper())


def row(x, mass, scale):
    """Loss and gradient of logits of one row with finite answers: x, mass floats (C,), scale a ball."""
    top = max(x)
    e = [ZERO if v == -math.inf else (flint.arb(v) - flint.arb(top)).exp() for v in x]
    total = sum(e, ZERO)
    others = list(e)
    others.remove(flint.arb(1))
    log = sum(others, ZERO).log1p()
    loss = sum(
        (
            q * (log + (flint.arb(top) - flint.arb(v)))
            for q, v in zip(mass, x, strict=True)
            if not (q == 0 or v == -math.inf)
        ),
        ZERO,
    )
    whole = sum(mass, ZERO)
    return loss, [scale * (whole * e_i / total - q) for e_i, q in zip(e, mass, strict=True)]


def masses(case, target, weight, classes):
    """Target mass of one row as exact balls; ``target`` an index or floats (C,), ``weight`` floats (C,) or None."""
    w = [flint.arb(1)] * classes if weight is None else [flint.arb(float(v)) for v in weight]
    smoothing = flint.arb(case.label_smoothing)
    if np.ndim(target) == 0:  # a class index
        own = [flint.arb(int(i == target)) for i in range(classes)]
        spread = [smoothing / classes * w_i for w_i in w]
        return [(1 - smoothing) * w_i * o + s for w_i, o, s in zip(w, own, spread, strict=True)]
    return [
        w_i * ((1 - smoothing) * flint.arb(float(y)) + smoothing / classes) for w_i, y in zip(w, target, strict=True)
    ]
