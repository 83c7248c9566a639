"""What a linear cross-entropy case asks: the matrices in the oracle's dtype, and the cross-entropy behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.core.case import Case
from harness.losses.cross_entropy.problem import Problem, Real
from harness.losses.cross_entropy.problem import pose as pose_cross_entropy
from harness.numerics.blocks import to_numpy
from harness.numerics.formats import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearProblem:
    """``hidden`` (N, H), ``weight`` (C, H) and ``bias`` (C,) or None of the oracle's dtype, taken as exact.

    ``rows`` is the cross-entropy of the logits hidden · weightᵀ + bias, (N, C): its targets, options and scales.
    ``hidden_size`` and ``weight_size`` are absolute values in float64, which the budgets are made of.
    """

    hidden: Array
    weight: Array
    bias: Array | None
    hidden_size: Array
    weight_size: Array
    rows: Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posed:
    """The tensors of the cross-entropy behind the product; of its logits only the shape is known."""

    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    grad_output: torch.Tensor


def pose(case: Case, inputs: Any, real: Real) -> LinearProblem:
    """The problem that ``case`` poses on ``inputs``, in the oracle's dtype ``real``.

    Raises:
        ValueError: a class index lies outside [0, C) and is not ignore_index, or shapes do not fit one another.
    """
    weight, bias = inputs.others["linear_weight"], inputs.others.get("linear_bias")
    if weight.ndim != 2 or inputs.logits.ndim != 2 or weight.shape[1] != inputs.logits.shape[1]:
        raise ValueError(f"hidden {tuple(inputs.logits.shape)} and weight {tuple(weight.shape)} share no features")
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise ValueError(f"bias has shape {tuple(bias.shape)}, {weight.shape[0]} classes need ({weight.shape[0]},)")
    shape = torch.empty((inputs.logits.shape[0], weight.shape[0]), device="meta")
    posed = _Posed(logits=shape, target=inputs.target, weight=inputs.weight, grad_output=inputs.grad_output)
    hidden, matrix = to_numpy(inputs.logits, real), to_numpy(weight, real)
    return LinearProblem(
        hidden=hidden, weight=matrix, bias=None if bias is None else to_numpy(bias, real),
        hidden_size=np.abs(hidden).astype(np.float64), weight_size=np.abs(matrix).astype(np.float64),
        rows=pose_cross_entropy(case, posed, real),
    )  # fmt: skip
