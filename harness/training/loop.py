"""The training loop: one loss, one network, steps in a fixed order; what it met is kept as a trace. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from harness.training.data import Data, Micro
from harness.training.setup import Setup

Loss = Callable[[Tensor, Tensor], Tensor]
#: Weights kept of a large network: every k-th, so that a trace of resnet18 stays small.
_KEPT_WEIGHTS = 1 << 16


@dataclass(slots=True)
class Trace:
    """What one run met: the loss and the norm of the whole gradient at each step, then weights and held-out logits.

    ``step_ns`` is the time of each step; ``accuracy`` the share of held-out examples whose largest logit is at the
    target, as ``correct / total``.
    """

    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)
    step_ns: list[int] = field(default_factory=list)
    weights: np.ndarray = field(default_factory=lambda: np.empty(0))
    logits: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    accuracy: float = 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """All of it as arrays, to be written to a file."""
        return {
            "losses": np.asarray(self.losses), "norms": np.asarray(self.norms), "step_ns": np.asarray(self.step_ns),
            "weights": self.weights, "logits": self.logits, "accuracy": np.asarray(self.accuracy),
        }  # fmt: skip


def run_training(
    setup: Setup, data: Data, net: nn.Module, loss: Loss, *, whole: bool = False, dtype: torch.dtype = torch.float32,
    met: Callable[[Tensor, Tensor], None] | None = None, beat: Callable[[int], None] = lambda _: None,
) -> Trace:  # fmt: skip
    """Train ``net`` with ``loss`` on every step of ``data``.

    A step of several micro-batches adds up their mean losses, each weighted by its share of the rows that are not
    ignored, so that the sum is the mean over the whole step.

    Args:
        setup: learning rate and optimizer.
        data: the steps.
        net: the network; it is changed.
        loss: mean cross-entropy of (logits (rows, C), target (rows,)).
        whole: take each step as one batch, whatever its micro-batches.
        dtype: of weights, inputs and logits.
        met: told the logits and targets of every call.
        beat: told the number of each step before it.
    """
    net.to(dtype).train()
    optimizer = _optimizer(setup, net)
    trace = Trace()
    for index, micros in enumerate(data.whole if whole else data.steps):
        beat(index)
        begin = perf_counter_ns()
        optimizer.zero_grad()
        trace.losses.append(one_step(net, micros, loss, dtype, met))
        trace.norms.append(_gradient_norm(net))
        optimizer.step()
        _wait(setup.device)
        trace.step_ns.append(perf_counter_ns() - begin)
    _finish(trace, net, data.test, dtype)
    return trace


def one_step(
    net: nn.Module, micros: Sequence[Micro], loss: Loss, dtype: torch.dtype,
    met: Callable[[Tensor, Tensor], None] | None = None,
) -> float:  # fmt: skip
    """Forward and backward of one step; the gradients stay in the network. The mean loss is returned."""
    kept = sum(micro.kept for micro in micros)
    value = 0.0
    for micro in micros:
        logits = net(micro.inputs.to(dtype) if micro.inputs.is_floating_point() else micro.inputs)
        if met is not None:
            met(logits.detach(), micro.target)
        part = loss(logits, micro.target)
        if len(micros) > 1:
            part = part * (micro.kept / kept)
        part.backward()
        value += float(part.detach())
    return value


def bound_to(function: Callable[[Any, Any], Any]) -> Loss:
    """``function`` as a loss that training can go back through.

    Raises (when called):
        TypeError: it gives something else than one number with a gradient.
    """

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        found = function(logits, target)
        if not isinstance(found, Tensor) or found.ndim != 0 or not found.requires_grad:
            shape = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise TypeError(f"a loss to train with is one number with a gradient; found {shape}")
        return found

    return loss


def _optimizer(setup: Setup, net: nn.Module) -> torch.optim.Optimizer:
    if setup.optimizer == "adam":
        return torch.optim.Adam(net.parameters(), lr=setup.learning_rate)
    return torch.optim.SGD(net.parameters(), lr=setup.learning_rate)


def _gradient_norm(net: nn.Module) -> float:
    squares = [parameter.grad.double().square().sum() for parameter in net.parameters() if parameter.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def _finish(trace: Trace, net: nn.Module, test: Micro, dtype: torch.dtype) -> None:
    weights = torch.cat([parameter.detach().double().flatten() for parameter in net.parameters()])
    trace.weights = weights[:: max(1, len(weights) // _KEPT_WEIGHTS)].cpu().numpy()
    net.eval()
    with torch.no_grad():
        logits = net(test.inputs.to(dtype) if test.inputs.is_floating_point() else test.inputs)
    counted = test.target >= 0
    right = (logits.argmax(1) == test.target) & counted
    trace.accuracy = int(right.sum()) / max(1, int(counted.sum()))
    trace.logits = logits[counted].double().cpu().numpy()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
