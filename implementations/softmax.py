"""Softmax: torch's own, the same compiled, and the formula written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F

from harness import implementation


def _eager(input: torch.Tensor, *, dim: int) -> torch.Tensor:
    return F.softmax(input, dim=dim)


@cache
def _compiled() -> Callable[..., torch.Tensor]:
    # static shapes; torch.compiler.reset() drops the graphs, and the next call compiles afresh
    return torch.compile(_eager, dynamic=False, fullgraph=True)


@implementation("softmax_torch", loss="softmax")
def softmax_torch(input: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Torch's own, eager.

    Args:
        input: (N, C, d1, …), any floating dtype.
        dim: the dimension that sums to 1.
    """
    return _eager(input, dim=dim)


@implementation("softmax_torch_compile", loss="softmax")
def softmax_torch_compile(input: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Torch's own under ``torch.compile`` with static shapes; a new shape, dtype or option compiles at its first call.

    Args:
        input: (N, C, d1, …), any floating dtype.
        dim: the dimension that sums to 1.
    """
    return _compiled()(input, dim=dim)


@implementation(
    "softmax_naive",
    loss="softmax",
    expect={
        "stability[regime=offset|huge_offset|wide|edge|edge_wrong|equal]": "exp overflows above 88.7 (float64: 709.8) "
        "and inf / inf is NaN; far below, every exp is 0 and 0 / 0 is NaN",
        "stability|gradient[regime=near_one_hot_90*,dtype=float32|bfloat16]": "exp overflows above 88.7",
        "stability[regime=nonfinite]": "a row with +inf gives inf / inf for that entry alone, and 0 for the others",
        "relations": "shifted rows overflow or underflow",
        "*[dtype=bfloat16|float16]": "exponentials and their sum are each rounded to half precision",
    },
)
def softmax_naive(input: torch.Tensor, *, dim: int = 1) -> torch.Tensor:
    """Exponentials over their sum, without subtracting the maximum: exp overflows above 88.7, and far below all are 0.

    Args:
        input: (N, C, d1, …), any floating dtype.
        dim: the dimension that sums to 1.
    """
    exponentials = torch.exp(input)
    return exponentials / exponentials.sum(dim=dim, keepdim=True)
