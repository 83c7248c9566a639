"""The small named procedures that claims are made of: torch's own calls, under names that a claim file can use."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor


def _gradient(value: Tensor, of: Tensor) -> Tensor:
    """The gradient of the sum of ``value`` by ``of``."""
    (found,) = torch.autograd.grad(value.sum(), of, retain_graph=True)
    return found


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values.gather(1, index.unsqueeze(1)).squeeze(1)


def _one_hot(index: Tensor, *, classes: int) -> Tensor:
    return F.one_hot(index, classes).to(torch.get_default_dtype())


def _broadcast_mse(prediction: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """What torch computes where the shapes differ: the target is spread over the prediction's rows."""
    return F.mse_loss(prediction, target.expand_as(prediction), reduction=reduction)


#: Name → procedure of tensors, with keyword options.
OPERATIONS: Mapping[str, Callable[..., Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "nll_loss": F.nll_loss,
    "kl_div": F.kl_div,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    "mse_loss": F.mse_loss,
    "broadcast_mse": _broadcast_mse,
    "log_softmax": lambda x, *, dim: torch.log_softmax(x, dim),
    "softmax": lambda x, *, dim: torch.softmax(x, dim),
    "softmax_without_dim": torch.softmax,
    "functional_softmax_without_dim": F.softmax,
    "logsumexp": lambda x, *, dim: torch.logsumexp(x, dim),
    "sigmoid": torch.sigmoid,
    "exp": torch.exp,
    "log": torch.log,
    "negate": torch.neg,
    "add": torch.add,
    "subtract": torch.sub,
    "multiply": torch.mul,
    "divide": torch.div,
    "sum": lambda x, *, dim=None: x.sum() if dim is None else x.sum(dim),
    "mean": lambda x: x.mean(),
    "max": lambda x: x.max(),
    "abs": torch.abs,
    "pick": _pick,
    "one_hot": _one_hot,
    "gradient": _gradient,
    "entry": lambda x, *, at: x[tuple(at)],
    "as": lambda x, *, dtype: x.to(DTYPES[dtype]),
}

DTYPES: Mapping[str, torch.dtype] = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int64": torch.int64,
}


def _dense(x: Tensor, target: Tensor) -> Tensor:
    return F.one_hot(target, x.shape[1]).to(x.dtype)


#: Name → procedure of (logits, target): what identities and timings compare.
PROCEDURES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "nll_of_log_softmax": lambda x, t: F.nll_loss(torch.log_softmax(x, 1), t),
    "nll_of_log_of_softmax": lambda x, t: F.nll_loss(torch.log(torch.softmax(x, 1)), t),
    "kl_div_of_log_softmax": lambda x, t: F.kl_div(torch.log_softmax(x, 1), _dense(x, t), reduction="batchmean"),
}
