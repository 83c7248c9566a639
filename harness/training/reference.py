"""The baseline that candidates are held against, and runs that show what rounding alone does. Imports torch.

The baseline's loss is the float64 oracle, rounded once to the logits' dtype: the best float32 loss there can be. A
*perturbed* run adds to its every gradient entry the error that a sound float32 loss may make (the rounding analysis of
``docs/method.md``, grade standard): G u [p_i (2 D + c) + |g_i|], with a random sign, or with the sign that makes the
gradient larger, or smaller. A *planted* run has a gradient that is wrong by a factor 1 + ε: it must be told apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from harness.core.case import Case
from harness.losses.cross_entropy.evaluate import truth
from harness.training.data import IGNORED
from harness.training.loop import Loss
from harness.training.names import BASELINE, PERTURBATIONS, PLANTED, planted_name

#: The captured regime's budgets hold whatever the distribution of the logits.
_REGIME = "captured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """How a reference run departs from the oracle: a perturbation by name, and a factor on the gradient."""

    name: str
    signs: str = ""
    factor: float = 1.0


def deviations() -> tuple[Deviation, ...]:
    """Baseline first, then the perturbed runs, then the planted ones."""
    perturbed = [Deviation(name=name, signs=name) for name in PERTURBATIONS]
    planted = [Deviation(name=planted_name(epsilon), factor=1 + epsilon) for epsilon in PLANTED]
    return (Deviation(name=BASELINE), *perturbed, *planted)


def oracle_loss(deviation: Deviation) -> Loss:
    """Mean cross-entropy whose value and gradient are the oracle's, with ``deviation``."""
    generator = torch.Generator().manual_seed(sum(map(ord, deviation.name)))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return _Oracle.apply(logits, target, deviation, generator)

    return loss


class _Oracle(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, deviation: Deviation, generator: torch.Generator) -> Tensor:
        value, gradient = _true(logits.detach().cpu(), target.cpu())
        if deviation.signs:
            value, gradient = _perturbed(logits.detach().cpu(), target.cpu(), value, gradient, deviation, generator)
        ctx.save_for_backward((gradient * deviation.factor).to(logits.device))
        return value.to(logits.device)

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (gradient,) = ctx.saved_tensors
        return gradient * grad_output, None, None, None


def _true(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """The oracle's loss and gradient, each rounded once to the dtype of ``logits``."""
    dtype = str(logits.dtype).removeprefix("torch.")
    case = Case(batch=logits.shape[0], classes=logits.shape[1], dtype=dtype, regime=_REGIME, ignore_index=IGNORED)
    ones = torch.ones((), dtype=logits.dtype)
    found = truth(case, SimpleNamespace(logits=logits, target=target, weight=None, grad_output=ones))
    return found.loss, found.gradients["logits"]


def _perturbed(
    logits: Tensor, target: Tensor, value: Tensor, gradient: Tensor, deviation: Deviation, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Value and gradient moved to the edge of what a sound implementation may answer."""
    roundoff = torch.finfo(logits.dtype).eps / 2
    depth = ceil(logits.shape[1] / 8) + 9.0
    x = logits.double()
    probabilities = torch.softmax(x, 1)
    spread = (probabilities * (x.max(1, keepdim=True).values - x)).sum(1, keepdim=True)
    kept = (target != IGNORED).double().unsqueeze(1)
    allowed = roundoff * (probabilities * (2 * spread + depth + 4) * kept / kept.sum() + gradient.double().abs())
    if deviation.signs.startswith("random"):
        signs = torch.randint(0, 2, gradient.shape, generator=generator).double() * 2 - 1
        sign = float(torch.randint(0, 2, (), generator=generator)) * 2 - 1
    else:
        sign = 1.0 if deviation.signs == "away" else -1.0
        signs = sign * torch.sign(gradient.double())
    moved = value.double() * (1 + sign * roundoff * (depth + 4))
    return moved.to(value.dtype), (gradient.double() + signs * allowed).to(gradient.dtype)


class Capture:
    """Keeps rows of the logits that training met, evenly over the steps, and their targets."""

    def __init__(self, calls: int, rows: int = 4096) -> None:
        self._each = max(1, rows // max(1, calls))
        self._logits: list[np.ndarray] = []
        self._target: list[np.ndarray] = []

    def __call__(self, logits: Tensor, target: Tensor) -> None:
        """Keep some rows of one call; ignored rows have no class and are left out."""
        kept = torch.nonzero(target != IGNORED).squeeze(1)
        chosen = kept[:: max(1, len(kept) // self._each)][: self._each]
        self._logits.append(logits[chosen].float().cpu().numpy())
        self._target.append(target[chosen].cpu().numpy())

    def arrays(self) -> dict[str, np.ndarray]:
        """``logits`` (rows, C) float32 and ``target`` (rows,) int64, as regime ``captured`` reads them."""
        return {"logits": np.concatenate(self._logits), "target": np.concatenate(self._target)}
