"""Compares an answer to a cross-entropy case with the truth, entry by entry, and gives the truth itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from harness.core.case import Case
from harness.losses.cross_entropy.grades import rules_for
from harness.losses.cross_entropy.judge import Judge
from harness.losses.cross_entropy.problem import CrossEntropyInputs, pose
from harness.losses.cross_entropy.truth import true_answer
from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import oracle_dtype

GRADIENTS = ("logits", "target", "weight")


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """The correctly rounded answer in the case's dtype, on the CPU."""

    loss: torch.Tensor
    gradients: Mapping[str, torch.Tensor]


def evaluate(
    case: Case, inputs: CrossEntropyInputs, loss: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Judge ``loss`` and ``gradients`` of one case by region and grade.

    Args:
        case: the options; its regime decides whether the square-root depth applies.
        inputs: the tensors the answer was made from; their (rounded) values are taken as exact.
        loss: () for mean and sum, (N, d1, …) for none; None when no loss is to be judged.
        gradients: any of ``logits`` (N, C, d1, …), ``target`` (the same) and ``weight`` (C,), these two with
            probability targets only.
        rounding_ulps: what the final rounding to the output dtype may cost: 0.5, or 1.0 on a device that truncates.

    Returns:
        Regions ``loss`` and ``ignored`` of the loss; ``target``, ``other`` and ``ignored`` (class indices) or
        ``probability`` of each gradient. Regions without entries are left out.

    Raises:
        ValueError: a value has the wrong shape, is not one of those above, or the inputs are inconsistent.
    """
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    _refuse_unknown(gradients, probability=problem.index is None, weighted=problem.weight is not None)
    shapes = {"logits": problem.shape, "target": problem.shape, "weight": (problem.classes,)}
    for name, gradient in gradients.items():
        _expect(f"gradient of {name}", gradient, shapes[name])
    if loss is not None:
        _expect("loss", loss, (problem.shape[0], *problem.shape[2:]) if case.reduction == "none" else ())
    rules = rules_for(case, len(problem.kept), rounding_ulps)
    return Judge(problem, rules, inputs, loss=loss, gradients=gradients).run()


def truth(case: Case, inputs: CrossEntropyInputs) -> Truth:
    """The oracle's loss and gradients, each rounded once to the case's dtype.

    ``gradients`` has ``logits``; with probability targets ``target`` too, and ``weight`` where the case has one.
    """
    problem = pose(case, inputs, oracle_dtype(case.dtype))
    loss, gradients = true_answer(problem, inputs, case.dtype)
    return Truth(loss=loss, gradients=gradients)


def _refuse_unknown(gradients: Mapping[str, torch.Tensor], *, probability: bool, weighted: bool) -> None:
    allowed = ["logits"] + ["target"] * probability + ["weight"] * (probability and weighted)
    unknown = [name for name in gradients if name not in allowed]
    if unknown:
        raise ValueError(f"no gradient of {', '.join(unknown)} in this case; allowed are {', '.join(allowed)}")


def _expect(what: str, found: torch.Tensor, shape: tuple[int, ...]) -> None:
    if tuple(found.shape) != shape:
        raise ValueError(f"{what} has shape {tuple(found.shape)}, the case needs {shape}")
