"""The logistic function: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

from harness import implementation


def _eager(input: torch.Tensor) -> torch.Tensor:
    return torch.sigmoid(input)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("sigmoid_torch", loss="sigmoid")
def sigmoid_torch(input: torch.Tensor) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …), any floating dtype.
    """
    return _eager(input)


@implementation("sigmoid_torch_compile", loss="sigmoid")
def sigmoid_torch_compile(input: torch.Tensor) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …), any floating dtype.
    """
    return _compiled()(input)


@implementation(
    "sigmoid_naive",
    loss="sigmoid",
    expect={
        "stability[regime=offset|huge_offset|wide|edge|edge_wrong|masked|masked_target|lone|nonfinite]": (
            "exp(-x) overflows below -88.7, and the gradient is inf · 0"
        ),
        "gradient|relations[dtype=float32]": (
            "the derivative divides by (1 + exp(-x))², which overflows below -44.4: it is 0 there"
        ),
        "stability|gradient|agreement[dtype=float16]": "exp(-x) overflows below -11.1 in float16",
        "*[dtype=bfloat16|float16]": "exp(-x) and 1 + exp(-x) are each rounded to half precision",
    },
)
def sigmoid_naive(input: torch.Tensor) -> torch.Tensor:
    """1 / (1 + exp(-x)), as it is written: three operators.

    Args:
        input: (N, C, d1, …), any floating dtype.
    """
    return 1 / (1 + torch.exp(-input))
