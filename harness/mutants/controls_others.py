"""Right but unusual implementations of the losses beside cross-entropy. Drop-ins as written."""

from __future__ import annotations

import torch
from torch import Tensor

from harness.mutants.declare import control


@control("the mean squared error in float64, rounded once", loss="mse_loss")
def mse_in_float64(input: Tensor, target: Tensor, *, reduction: str = "mean"):
    losses = (input.double() - target.double()) ** 2
    found = losses if reduction == "none" else losses.mean() if reduction == "mean" else losses.sum()
    return found.to(input.dtype)


@control("softmax as exp of log-softmax", loss="softmax", dtypes=("float32", "float64"))
def softmax_by_its_log(input: Tensor, *, dim: int = 1):
    return torch.log_softmax(input, dim).exp()


@control("log-softmax as a difference from the log-sum-exp", loss="log_softmax", dtypes=("float32", "float64"))
def log_softmax_by_lse(input: Tensor, *, dim: int = 1):
    top = input.amax(dim, keepdim=True).detach()
    shifted = input - top
    return shifted - shifted.exp().sum(dim, keepdim=True).log()
