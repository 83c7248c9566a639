"""The inputs of a linear cross-entropy case: hidden states, weight and bias whose product follows the regime.

Hidden states are standard normal and the rows of the weight normal with variance s² / H, so that a logit has standard
deviation s. Regimes with a sure class add to a row's hidden state what raises that one logit: a w / |w|², w the class's
row of the weight. ``offset`` gives feature 0 one value in the whole weight: it shifts all logits of a row alike.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from harness.core.case import Case
from harness.core.errors import UsageError
from harness.inputs.build import Inputs, device_of
from harness.inputs.layout import allocate
from harness.inputs.logits import fill_one_hot, round_to
from harness.inputs.streams import BANK_SIZE, stream
from harness.inputs.targets import draw_grad_output, draw_ignored, draw_index, draw_weight, exponential_counts
from harness.losses.linear_cross_entropy.describe import SCALES, refusal

#: The common shift of a row's logits in the regime ``offset``.
_OFFSET = 1024.0
#: Rows of the weight that are drawn, rounded and moved at once.
_PIECE = 1 << 22


def build(case: Case) -> Inputs:
    """The inputs of ``case``: the same values on any machine and device.

    Raises:
        UsageError: the combination has no meaning (see ``refusal``).
    """
    reason = refusal(case)
    if reason:
        raise UsageError(f"{case.cell}: {reason}")
    device, dtype = device_of(case), getattr(torch, case.dtype)
    index = draw_index(case)
    weight = _weight(case, dtype)
    hidden = allocate((case.batch, case.features), dtype, device, case.layout)
    hidden.copy_(round_to(torch.from_numpy(_hidden(case, index, weight)), dtype))
    others = {"linear_weight": weight.to(device)}
    if dict(case.options).get("linear_bias", "none") != "none":
        others["linear_bias"] = round_to(torch.from_numpy(_normal(case, "bias", case.classes)), dtype).to(device)
    class_weight = draw_weight(case)
    return Inputs(
        logits=hidden,
        target=_target(case, index, dtype).to(device),
        weight=None if class_weight is None else round_to(torch.from_numpy(class_weight), dtype).to(device),
        grad_output=round_to(torch.from_numpy(draw_grad_output(case)), dtype).to(device),
        others=others,
    )


def _weight(case: Case, dtype: torch.dtype) -> Tensor:
    """The weight (C, H), rounded; above ``BANK_SIZE`` entries its rows are windows into a bank of that many draws."""
    classes, features = case.classes, case.features
    scale = SCALES.get(case.regime, 1.0) / math.sqrt(features)
    weight = torch.empty((classes, features), dtype=dtype)
    total = classes * features
    bank = torch.from_numpy(_normal(case, "weight", total if total <= BANK_SIZE else max(BANK_SIZE, 2 * features)))
    bank = round_to(bank * scale, dtype)
    if total <= BANK_SIZE:
        weight.copy_(bank.view(classes, features))
    else:
        rng = stream(case, "weight windows", str(features))
        starts = torch.from_numpy(rng.integers(0, bank.numel() - features, classes, endpoint=True))
        windows, step = bank.unfold(0, features, 1), max(1, _PIECE // features)
        for low in range(0, classes, step):
            weight[low : low + step] = windows[starts[low : low + step]]
    if case.regime == "offset":
        weight[:, 0] = _OFFSET
    return weight


def _hidden(case: Case, index: np.ndarray, weight: Tensor) -> np.ndarray:
    """Hidden states, float64 (N, H), before they are rounded."""
    hidden = _normal(case, "hidden", case.batch * case.features).reshape(case.batch, case.features)
    chance = stream(case, "rows", case.regime).random((case.batch, 2))
    if case.regime == "offset":
        hidden[:, 0] = np.where(chance[:, 0] < 0.5, 1.0, -1.0)
    if case.regime not in ("confident", "wrong"):
        return hidden
    column = index
    if case.regime == "wrong":
        column = (index + 1 + (chance[:, 1] * (case.classes - 1)).astype(np.int64)) % case.classes
    chosen = weight[torch.from_numpy(column)].to(torch.float64).numpy()
    raised = math.log(case.classes) + 12.0 + 13.0 * chance[:, 0]
    return hidden + chosen * (raised / np.maximum((chosen * chosen).sum(axis=1), 1e-3))[:, None]


def _target(case: Case, index: np.ndarray, dtype: torch.dtype) -> Tensor:
    """Class indices (N,) with ignore_index in the ignored rows, or class probabilities (N, C)."""
    if case.target_kind == "index":
        target = torch.from_numpy(index.copy())
        target[torch.from_numpy(draw_ignored(case))] = case.ignore_index
        return target
    if case.target == "one_hot":
        target = torch.zeros((case.batch, case.classes), dtype=dtype)
        fill_one_hot(torch.from_numpy(index), target)
        return target
    counts = exponential_counts(stream(case, "target", "probability"), case.batch * case.classes)
    counts = counts.reshape(case.batch, case.classes)
    return round_to(torch.from_numpy(counts / counts.sum(axis=1, keepdims=True)), dtype)


def _normal(case: Case, purpose: str, count: int) -> np.ndarray:
    """Standard normal draws; ``features`` are no part of a stream's own key."""
    return stream(case, f"linear {purpose}", str(case.features)).standard_normal(count)
