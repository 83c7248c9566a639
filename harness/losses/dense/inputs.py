"""Inputs of the dense families: a first tensor from the logits' regimes, targets, weights and an upstream gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from harness.core.case import Case
from harness.core.errors import UsageError
from harness.inputs.build import Inputs, device_of
from harness.inputs.capture import load_capture
from harness.inputs.catalogue import CAPTURED, find_regime
from harness.inputs.layout import allocate
from harness.inputs.logits import fill_captured, fill_drawn, fill_logits, fill_one_hot, fill_probabilities, round_to
from harness.inputs.targets import draw_captured, draw_grad_output, draw_index, draw_weight
from harness.losses.catalogue import family_of

#: Made of float64 values (n, C, d1, …) of whole batch entries; the result is rounded to the case's dtype.
Transform = Callable[[Tensor], Tensor]
#: Elements that a transform sees at a time.
_PIECE = 1 << 20


def build(case: Case, *, transform: Transform | None = None, target: Tensor | None = None) -> Inputs:
    """Inputs whose first tensor is ``transform`` of the regime's logits, with ``target``, weight and upstream gradient.

    Raises:
        UsageError: the combination has no meaning.
    """
    family = family_of(case.loss)
    reason = family.refusal(case)
    if reason:
        raise UsageError(f"{case.cell}: {reason}")
    try:
        first = draw_first(case, transform)
    except ValueError as error:
        raise UsageError(f"{case.cell}: {error}") from None
    weight = draw_weight(case)
    return Inputs(
        logits=first,
        target=target,
        weight=None if weight is None else per_class(case, weight),
        grad_output=rounded(case, draw_grad_output(case, family.output(case))),
    )


def draw_first(case: Case, transform: Transform | None = None) -> Tensor:
    """The regime's logits (N, C, d1, …), and ``transform`` of their values as the dtype holds them."""
    plain = replace(case, target="uniform", options=())
    out = empty_like_first(case)
    captured = load_capture(case.regime) if find_regime(case.regime).name == CAPTURED else None
    if captured is not None:
        fill_captured(plain, captured, draw_captured(plain, captured), out)
    else:
        fill_logits(plain, torch.from_numpy(draw_index(plain)).to(out.device), out)
    if transform is not None:
        step = max(1, _PIECE // max(1, out[:1].numel()))
        for start in range(0, len(out), step):
            part = out[start : start + step]
            part.copy_(round_to(transform(part.to(torch.float64)), out.dtype))
    return out


def dense_target(case: Case, kind: str, first: Tensor | None = None) -> Tensor:
    """A target shaped like the first tensor, in its layout; ``kind`` as in :data:`harness.losses.dense.axes.TARGETS`.

    ``probability`` is a distribution over the classes, ``uniform`` a number in [0, 1) for each entry.
    """
    plain, out = replace(case, target="probability", options=()), empty_like_first(case)
    if kind == "probability":
        fill_probabilities(plain, out)
    elif kind == "one_hot":
        index = draw_index(replace(plain, target="uniform"))
        fill_one_hot(torch.from_numpy(index).to(out.device), out)
    elif kind == "binary":
        fill_drawn(plain, "target binary", lambda rng, count: (rng.random(count) < 0.5).astype(np.float64), out)
    elif kind == "uniform":
        fill_drawn(plain, "target uniform", lambda rng, count: rng.random(count), out)
    else:
        fill_drawn(plain, "target values", lambda rng, count: rng.standard_normal(count), out)
        if kind == "near":
            assert first is not None
            out.copy_(round_to(first.to(torch.float64) + 0.01 * out.to(torch.float64), out.dtype))
    return out


def empty_like_first(case: Case) -> Tensor:
    """An uninitialised tensor of the case's shape, dtype and layout."""
    shape = (case.batch, case.classes, *case.dims)
    return allocate(shape, getattr(torch, case.dtype), device_of(case), case.layout)


def per_class(case: Case, values: np.ndarray) -> Tensor:
    """(C,) values of the case's dtype, as (C, 1, …) where there are more dimensions, to be broadcast."""
    return rounded(case, values).reshape(case.classes, *(1 for _ in case.dims))


def rounded(case: Case, values: np.ndarray) -> Tensor:
    """``values`` rounded to the case's dtype, on its device."""
    return round_to(torch.from_numpy(values), getattr(torch, case.dtype)).to(device_of(case))
