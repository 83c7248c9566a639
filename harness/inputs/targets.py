"""Targets, ignored rows, class weights and upstream gradients, drawn with numpy."""

from __future__ import annotations

import numpy as np

from harness.core.case import Case
from harness.inputs.capture import Capture
from harness.inputs.catalogue import available_classes
from harness.inputs.streams import stream


def draw_index(case: Case) -> np.ndarray:
    """Class index of every row, int64 (rows,), before any is ignored; never an in-range ignore_index.

    ``argmax`` and ``one_hot`` draw as ``uniform`` does: the former is replaced once the logits stand, the latter is
    then the same target in another form.
    """
    count = max(available_classes(case), 1)
    if case.target == "first":
        index = np.zeros(case.rows, dtype=np.int64)
    elif case.target == "last":
        index = np.full(case.rows, count - 1, dtype=np.int64)
    elif case.target == "zipf":
        mass = np.cumsum(1.0 / np.arange(1, count + 1))
        index = np.searchsorted(mass, stream(case, "target", "zipf").random(case.rows) * mass[-1], side="right")
        index = np.minimum(index, count - 1)
    else:
        index = stream(case, "target").integers(0, count, case.rows)
    if available_classes(case) < case.classes:
        index = index + (index >= case.ignore_index) if available_classes(case) else index
    return index


def draw_captured(case: Case, capture: Capture) -> np.ndarray:
    """Which row of ``capture`` each row of ``case`` is, int64 (rows,), uniformly with replacement.

    Rows whose target is an in-range ignore_index are left out, as they would be ignored beyond the asked share.

    Raises:
        ValueError: that leaves no row.
    """
    usable = np.flatnonzero(capture.target != case.ignore_index)
    if usable.size == 0:
        raise ValueError(f"every target of {capture.path} is ignore_index={case.ignore_index}")
    return usable[stream(case, "captured").integers(0, usable.size, case.rows)]


def draw_ignored(case: Case) -> np.ndarray:
    """Rows that are ignored, int64 (k,): exactly round(ignored · rows) of them, at least one if ignored > 0."""
    if case.ignored <= 0:
        return np.empty(0, dtype=np.int64)
    count = max(1, round(case.ignored * case.rows))
    return stream(case, "ignored").permutation(case.rows)[:count]


def exponential_counts(rng: np.random.Generator, count: int) -> np.ndarray:
    """Exponential draws as whole multiples of 2^-20, held in float64, never 0.

    Their sum over a row of C < 2^26 is exact in any order, so e ÷ Σe is the same on every machine and device.
    """
    return np.floor(rng.standard_exponential(count) * 2.0**20) + 1.0


def draw_weight(case: Case) -> np.ndarray | None:
    """Class weights, float64 (C,), or None."""
    if case.weight == "none":
        return None
    rng = stream(case, "weight", case.weight)
    if case.weight == "skewed":
        return np.ldexp(rng.random(case.classes) + 1.0, -rng.integers(0, 10, case.classes))
    weight = rng.random(case.classes) + 0.5
    if case.weight == "zeros":
        # the ends keep a weight, or target=first and last would have a mean of 0 / 0
        choice = np.arange(1, case.classes - 1) if case.classes > 2 else np.arange(case.classes)
        weight[rng.permutation(choice)[: max(1, case.classes // 4)]] = 0.0
    return weight


def draw_grad_output(case: Case, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Upstream gradient, float64, of ``shape``; by default (N, d1, …) for reduction none, else ()."""
    if shape is None:
        shape = (case.batch, *case.dims) if case.reduction == "none" else ()
    if case.grad_output == "scaled":
        return np.full(shape, 65536.0 if case.dtype in ("float64", "float32") else 256.0)
    if case.grad_output == "one":
        return np.ones(shape)
    if shape == ():
        return np.array(-2.5)
    draws = stream(case, "grad_output").standard_normal(shape)
    if draws.size:
        draws.flat[0] = 0.0
    return draws
