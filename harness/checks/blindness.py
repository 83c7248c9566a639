"""Blindness, measured: the true answer with one region zeroed, or scaled by 1 + ε, goes through the real check.

A check that a zeroed region passes proves nothing about that region. ε is a power of two, the smallest that is caught.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from harness.checks.agreement import agreement
from harness.checks.evidence import Answer, Evidence
from harness.checks.gradient import gradient
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.evaluators import evaluator, region_masks, true_answer
from harness.losses.inputs import build_inputs

#: More logits are not looked at: the rows beyond would say the same.
MOST_ELEMENTS = 1 << 15
#: The regimes with odd rows among sound ones have the first odd one second.
_LEAST_ROWS = 2
#: Below this no format tells 1 + ε from 1.
_LEAST = 2.0**-60


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What the check of one case sees of one region.

    ``epsilon`` is the smallest power of two by which scaling the region is caught, None where not even twice the truth
    is; ``sees_zero`` whether a zeroed region is.
    """

    value: str
    region: str
    epsilon: float | None
    sees_zero: bool


def sights(case: Case, inputs: Any, *, grade: str, rounding_ulps: float) -> list[Sight]:
    """One :class:`Sight` for each region of the case that has an entry other than 0 to be zeroed."""
    loss, gradients = true_answer(case.loss)(case, inputs)
    true = Answer(loss=loss, gradients=gradients, requires_grad=True)
    found = []
    for (value, region), mask in region_masks(case.loss)(case, inputs).items():
        look = _Look(case=case, inputs=inputs, true=true, value=value, grade=grade, rounding_ulps=rounding_ulps)
        whole = look.whole()
        at = mask & whole.isfinite() & (whole != 0)
        if bool(at.any()):
            found.append(look.sight(region, at))
    return found


def sample_of(case: Case) -> tuple[Case, Any]:
    """``case`` with its inputs, in fewer rows where it is large; each keeps its share of the mean."""
    keep = max(_LEAST_ROWS, MOST_ELEMENTS * case.batch // max(case.elements, 1))
    if keep >= case.batch:
        return case, build_inputs(case)
    fewer = replace(case, batch=keep)
    inputs = build_inputs(fewer)
    share = keep / case.batch if case.reduction in ("mean", "batchmean") else 1.0
    return fewer, replace(inputs, grad_output=inputs.grad_output * share)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """One value of a true answer, changed and judged."""

    case: Case
    inputs: Any
    true: Answer
    value: str
    grade: str
    rounding_ulps: float

    def whole(self) -> torch.Tensor:
        """The true value."""
        return self.true.loss if self.value == "loss" else self.true.gradients[self._name]

    @property
    def _name(self) -> str:
        """The input whose gradient is changed; the first one goes by ``logits`` whatever its family calls it."""
        name = self.value.removeprefix("grad_")
        return name if name in self.true.gradients else "logits"

    def sight(self, region: str, at: torch.Tensor) -> Sight:
        """What is seen of the entries where ``at`` is True."""
        zeroed = self._judged(at, 0.0)
        if zeroed.status is not Status.FAILED:
            seen = self._caught(at, 1.0)
            return Sight(value=self.value, region=region, epsilon=1.0 if seen else None, sees_zero=False)
        # a zeroed entry is off by all of itself: how often its budget goes into that says where ε will be caught
        epsilon = 2.0 ** -math.floor(math.log2(zeroed.ratio)) if zeroed.ratio and math.isfinite(zeroed.ratio) else 1.0
        epsilon = min(1.0, max(epsilon, _LEAST))
        while epsilon > _LEAST and self._caught(at, epsilon):
            epsilon /= 2
        while epsilon < 1.0 and not self._caught(at, epsilon):
            epsilon *= 2
        return Sight(value=self.value, region=region, epsilon=epsilon, sees_zero=True)

    def _caught(self, at: torch.Tensor, epsilon: float) -> bool:
        return self._judged(at, 1.0 + epsilon).status is Status.FAILED

    def _judged(self, at: torch.Tensor, factor: float) -> Verdict:
        whole = self.whole()
        changed = torch.where(at, (whole.to(torch.float64) * factor).to(whole.dtype), whole)
        loss = changed if self.value == "loss" else None
        gradients: Mapping[str, torch.Tensor] = {} if self.value == "loss" else {self._name: changed}
        evaluation = evaluator(self.case.loss)(
            self.case, self.inputs, loss, gradients, rounding_ulps=self.rounding_ulps
        )
        answer = Answer(loss=loss, gradients={**self.true.gradients, **gradients}, requires_grad=True)
        evidence = Evidence(
            case=self.case, inputs=self.inputs, answer=answer,
            evaluation=evaluation, grade=self.grade, owns_masks=False, again=_nothing,
        )  # fmt: skip
        return next(agreement(evidence) if self.value == "loss" else gradient(evidence))


def _nothing(case: Case, change: Any) -> None:
    """The true answer has no candidate that could be called again."""
