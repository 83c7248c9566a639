"""Log-softmax: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation


def _eager(input: torch.Tensor, *, dim: int) -> torch.Tensor:
    return F.log_softmax(input, dim=dim)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("log_softmax_torch", loss="log_softmax")
def log_softmax_torch(input: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …), any floating dtype.
        dim: the dimension along which exp of the result sums to 1.
    """
    return _eager(input, dim=dim)


@implementation("log_softmax_torch_compile", loss="log_softmax")
def log_softmax_torch_compile(input: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …), any floating dtype.
        dim: the dimension along which exp of the result sums to 1.
    """
    return _compiled()(input, dim=dim)


@implementation(
    "log_softmax_naive",
    loss="log_softmax",
    expect={
        "stability[regime=wide|edge|edge_wrong|near_one_hot_90*|huge_offset|offset|nonfinite]": (
            "probabilities below the smallest number are 0, and their log is -inf"
        ),
        "*[dtype=bfloat16|float16]": "probabilities are rounded to half precision before their log is taken",
        "agreement[regime!=normal]": "a probability near 1 is rounded before its log is taken, one near 0 has fewer "
        "bits",
        "stability|gradient[regime=masked|masked_target|lone|wide|edge|edge_wrong|huge_offset|near_one_hot_90*]": (
            "the log of a probability of 0 has the gradient 0 · inf"
        ),
        "grad_output|gradient": "the gradient of the log of small probabilities divides by them",
    },
)
def log_softmax_naive(input: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Log of softmax: the log of a probability that has been rounded to 0 is -inf.

    Args:
        input: (N, C, d1, …), any floating dtype.
        dim: the dimension along which exp of the result sums to 1.
    """
    return torch.log(torch.softmax(input, dim=dim))
