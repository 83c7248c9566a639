"""The losses beside cross-entropy written out once more, in ball arithmetic of 320 bits, from torch's documentation.

Independent of the oracle: arrays of balls, formulas as they stand in a book, since 320 bits forgive a cancellation.
An answer is a value, its gradients by tensor, and beside each the size of the terms that it is made of.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import flint
import numpy as np

flint.ctx.prec = 320
_EXP = np.frompyfunc(lambda v: v.exp(), 1, 1)
_LOG = np.frompyfunc(lambda v: v.log() if v != 0 else flint.arb(0), 1, 1)
_LOG1P = np.frompyfunc(lambda v: v.log1p(), 1, 1)
_ABS = np.frompyfunc(abs, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Exact:
    """Balls and the sizes of their terms, both arrays of objects."""

    value: np.ndarray
    terms: np.ndarray


def balls(tensor):
    """A tensor of any dtype as an array of exact balls."""
    values = tensor.detach().double().cpu().numpy()
    return np.asarray(np.vectorize(flint.arb, otypes=[object])(values), dtype=object)


def answer(case, inputs):
    """The value, reduced, and the gradients under the case's upstream gradient: name → Exact."""
    if case.loss == "nll_loss":
        return _nll(case, inputs)
    if case.loss in ("softmax", "log_softmax"):
        return _rows(case, inputs)
    value, slopes = _ENTRIES[case.loss](case, inputs)
    n = {"mean": value.value.size, "batchmean": case.batch}.get(case.reduction, 1)
    found = {"loss": value}
    if case.reduction != "none":
        total = lambda each: np.array(each.sum() / n, dtype=object)  # noqa: E731
        found["loss"] = Exact(value=total(value.value), terms=total(value.terms) * value.value.size)
    upstream = balls(inputs.grad_output) / n
    size = _ABS(upstream)
    slopes = {name: Exact(value=s.value * upstream, terms=s.terms * size) for name, s in slopes.items()}
    return {**found, **slopes}


def excess(found, exact, format_, *, share):
    """By how much the worst entry is off beyond half an ulp, as a share of it; ``share`` of the terms is allowed."""
    worst = 0.0
    for value, ball, terms in zip(
        found.double().reshape(-1).tolist(), *(np.ravel(each) for each in (exact.value, exact.terms)), strict=True
    ):
        size = float(abs(ball).upper())
        if math.isnan(value):
            return math.inf
        if math.isinf(value):
            worst = max(worst, 0.0 if size >= format_.largest else math.inf)
            continue
        power = max(math.frexp(size)[1] - 1 if size else -5000, format_.emin) - format_.precision
        off = (abs(flint.arb(value) - ball) - share * terms) / flint.arb(2) ** power
        worst = max(worst, float(off.upper()))
    return worst


def _sigmoid(case, inputs):
    x = balls(inputs.logits)
    up, down = 1 / (1 + _EXP(-x)), 1 / (1 + _EXP(x))
    return _plain(up), {"logits": _plain(up * down)}


def _squares(case, inputs):
    difference = balls(inputs.logits) - balls(inputs.target)
    return _plain(difference * difference), {
        "logits": _plain(2 * difference),
        "target": _plain(-2 * difference),
    }


def _divergence(case, inputs):
    x, t = balls(inputs.logits), balls(inputs.target)
    if dict(case.options).get("log_target"):
        mass = _EXP(t)
        value = Exact(value=mass * (t - x), terms=mass * (_ABS(t) + _ABS(x)))
        by_target = Exact(value=mass * (t - x + 1), terms=mass * (_ABS(t) + _ABS(x) + 1))
        return value, {"logits": _plain(-mass), "target": by_target}
    logs = _LOG(t)
    value = Exact(value=t * (logs - x), terms=_ABS(t * logs) + _ABS(t * x))
    by_target = Exact(value=logs + 1 - x, terms=_ABS(logs) + 1 + _ABS(x))
    return value, {"logits": _plain(-t), "target": by_target}


def _binary(case, inputs):
    p, t, w = balls(inputs.logits), balls(inputs.target), _weight(inputs.weight)
    floor = flint.arb(-100)
    clamped = np.frompyfunc(lambda v: floor if v == 0 or v.log() < floor else v.log(), 1, 1)
    of_one, of_zero = clamped(p), clamped(1 - p)
    below = np.frompyfunc(lambda v: v if v > flint.arb(1e-12) else flint.arb(1e-12), 1, 1)(p * (1 - p))
    by_target = Exact(value=w * (of_zero - of_one), terms=w * (_ABS(of_zero) + _ABS(of_one)))
    return _plain(-w * (t * of_one + (1 - t) * of_zero)), {"logits": _plain(w * (p - t) / below), "target": by_target}


def _binary_of_logits(case, inputs):
    x, t, w = balls(inputs.logits), balls(inputs.target), _weight(inputs.weight)
    p = _weight(inputs.others.get("pos_weight"))
    both = _LOG1P(_EXP(-_ABS(x)))
    above, below = (both + (s + _ABS(s)) / 2 for s in (x, -x))
    up, down = 1 / (1 + _EXP(-x)), 1 / (1 + _EXP(x))
    slope = Exact(value=w * ((1 - t) * up - p * t * down), terms=w * ((1 - t) * up + p * t * down))
    by_target = Exact(value=w * (p * below - above), terms=w * (p * below + above))
    return _plain(w * ((1 - t) * above + p * t * below)), {"logits": slope, "target": by_target}


def _rows(case, inputs):
    dim = int(dict(case.options).get("dim", 1))
    x, g = balls(inputs.logits), balls(inputs.grad_output)
    e = _EXP(x)
    total = e.sum(axis=dim, keepdims=True)
    y = e / total
    # what an oracle rounds of x - max costs as much as |x - max| roundings of the exponential
    far = 1 + _ABS(x - np.max(x, axis=dim, keepdims=True)) / 16
    if case.loss == "softmax":
        centre, sizes = ((v * y).sum(axis=dim, keepdims=True) for v in (g, _ABS(g)))
        slope = Exact(value=y * (g - centre), terms=y * far * (_ABS(g) + sizes))
        return {"loss": Exact(value=y, terms=y * far), "logits": slope}
    whole, sizes = (v.sum(axis=dim, keepdims=True) for v in (g, _ABS(g)))
    # of the largest entry nothing is left in 320 bits but by the sum of the others
    places = np.expand_dims(np.argmax(x, axis=dim), dim)
    top = np.take_along_axis(x, places, axis=dim)
    others = _EXP(x - top)
    np.put_along_axis(others, places, flint.arb(0), axis=dim)
    value = (x - top) - _LOG1P(others.sum(axis=dim, keepdims=True))
    slope = Exact(value=g - y * whole, terms=_ABS(g) + y * far * sizes)
    return {"loss": Exact(value=value, terms=_ABS(value)), "logits": slope}


def _nll(case, inputs):
    x, target = balls(inputs.logits), inputs.target.numpy()
    w = (
        np.vectorize(flint.arb, otypes=[object])(np.ones(case.classes))
        if inputs.weight is None
        else balls(inputs.weight)
    )
    upstream, g = balls(inputs.grad_output), np.full(x.shape, flint.arb(0), dtype=object)
    losses = np.full(target.shape, flint.arb(0), dtype=object)
    rows = [at for at in np.ndindex(*target.shape) if target[at] != case.ignore_index]
    below = sum((w[target[at]] for at in rows), flint.arb(0)) if case.reduction == "mean" else flint.arb(1)
    for at in rows:
        label = int(target[at])
        place = (at[0], label, *at[1:])
        losses[at] = -w[label] * x[place]
        g[place] = -w[label] * (upstream[at] if case.reduction == "none" else upstream[()]) / below
    loss = losses if case.reduction == "none" else np.array(losses.sum() / below, dtype=object)
    sizes = losses if case.reduction == "none" else np.array(_ABS(losses).sum() / below * len(rows), dtype=object)
    return {"loss": Exact(value=loss, terms=_ABS(sizes)), "logits": _plain(g)}


def _plain(value):
    return Exact(value=value, terms=_ABS(value))


def _weight(weight):
    return flint.arb(1) if weight is None else balls(weight)


_ENTRIES = {
    "sigmoid": _sigmoid,
    "mse_loss": _squares,
    "kl_div": _divergence,
    "binary_cross_entropy": _binary,
    "binary_cross_entropy_with_logits": _binary_of_logits,
}
