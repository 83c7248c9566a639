"""Compares an answer to a linear cross-entropy case with the truth, entry by entry, and gives the truth itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.core.case import Case
from harness.losses.cross_entropy.oracle import grad_logits_of
from harness.losses.cross_entropy.truth import reduce_losses
from harness.losses.linear_cross_entropy.judge import Judge, Sums
from harness.losses.linear_cross_entropy.logits import chunks, linear_rules
from harness.losses.linear_cross_entropy.problem import pose
from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import FORMATS, Array, oracle_dtype, round_to


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The correctly rounded answer in the case's dtype, on the CPU; gradients by the names of their inputs."""

    loss: torch.Tensor
    gradients: Mapping[str, torch.Tensor]


def evaluate(
    case: Case, inputs: Any, loss: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Judge ``loss`` and ``gradients`` of one case by region and grade.

    Args:
        case: the options; its regime decides whether the square-root depth applies.
        inputs: ``logits`` are the hidden states (N, H), ``others`` hold linear_weight (C, H) and, where the case has
            it, linear_bias (C,); their (rounded) values are taken as exact.
        loss: () for mean and sum, (N,) for none; None when no loss is to be judged.
        gradients: any of ``logits`` (of hidden, (N, H)), ``linear_weight`` (C, H) and ``linear_bias`` (C,).
        rounding_ulps: what the final rounding to the output dtype may cost: 0.5, or 1.0 on a device that truncates.

    Returns:
        Regions ``loss`` and ``ignored`` of the loss; ``kept`` and ``ignored`` of grad_input; ``target`` and ``other``
        classes (or ``probability``) of grad_linear_weight and grad_linear_bias.

    Raises:
        ValueError: a value has the wrong shape, is not one of those above, or the inputs are inconsistent.
    """
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    shapes = {"logits": problem.hidden.shape, "linear_weight": problem.weight.shape}
    if problem.bias is not None:
        shapes["linear_bias"] = problem.bias.shape
    unknown = [name for name in gradients if name not in shapes]
    if unknown:
        raise ValueError(f"no gradient of {', '.join(unknown)} in this case; allowed are {', '.join(shapes)}")
    for name, gradient in gradients.items():
        _expect(f"gradient of {name}", gradient, shapes[name])
    if loss is not None:
        _expect("loss", loss, (case.batch,) if case.reduction == "none" else ())
    return Judge(problem, linear_rules(case, rounding_ulps), loss=loss, gradients=gradients).run()


def truth(case: Case, inputs: Any) -> Truth:
    """The oracle's loss and gradients (``logits``, ``linear_weight``, ``linear_bias``), each rounded once."""
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    losses = np.zeros(case.batch, dtype=problem.rows.real)
    hidden, sums = np.zeros_like(problem.hidden), Sums(problem)
    for chunk in chunks(problem, linear_rules(case, 0.5)):
        losses[chunk.where] = chunk.piece.terms.value
        with np.errstate(invalid="ignore", over="ignore"):
            gradient = grad_logits_of(chunk.piece.rows, chunk.piece.mass, chunk.piece.scale)
            gradient[~chunk.piece.counted] = np.nan
            hidden[chunk.where] = gradient @ problem.weight
            sums.add(problem, chunk, gradient)
    gradients = {"logits": _to_torch(hidden, case), "linear_weight": _to_torch(sums.weight, case)}
    if problem.bias is not None:
        gradients["linear_bias"] = _to_torch(sums.bias, case)
    result = losses if case.reduction == "none" else reduce_losses(problem.rows, losses[problem.rows.kept])
    return Truth(loss=_to_torch(result, case), gradients=gradients)


def _to_torch(values: Array, case: Case) -> torch.Tensor:
    return torch.from_numpy(np.array(round_to(values, FORMATS[case.dtype]))).to(getattr(torch, case.dtype))


def _expect(what: str, found: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tuple(found.shape) != tuple(shape):
        raise ValueError(f"{what} has shape {tuple(found.shape)}, the case needs {tuple(shape)}")
