"""The textbook formula, word for word: softmax by exponentials and their sum, its log, the target's entry."""

from __future__ import annotations

import torch

from harness import implementation


@implementation(
    "naive",
    loss="cross_entropy",
    targets=("index",),
    expect={
        "stability[regime=offset|huge_offset|wide|edge|edge_wrong|equal]": "exp overflows above 88.7 (float16: 11.1; "
        "float64: 709.8) and inf / inf is NaN; far below, every exp is 0 and 0 / 0 is NaN",
        "stability[regime=near_one_hot_90*,dtype=float32|bfloat16]": "exp overflows above 88.7",
        "stability[dtype=float16]": "in float16 exp overflows above 11.1 and underflows below -17.3, and the sum "
        "overflows beyond 65504",
        "stability[regime=masked|masked_target|lone,pass=backward|forward_backward]": "the log of a probability of 0 "
        "is -inf, whose gradient is 0 times inf",
        "stability[regime=sigma10,dtype=bfloat16,classes>=100000]": "probabilities that underflow to 0: the gradient "
        "of their log is 0 times inf",
        "stability[regime=nonfinite]": "a row with +inf gives inf / inf for that class alone: the target's loss is inf",
        "relations[variant=shift_*|one_row|at_least_gap|at_most_range]": "relations shift and stretch rows until exp "
        "overflows above 88.7 or underflows to 0",
        "sizes[dtype=float32|float64]": "beside a logit that is far ahead every other exp underflows to 0",
        "agreement[dtype=bfloat16|float16]": "exponentials, sum and probabilities are each rounded to half precision",
        "gradient[dtype=bfloat16|float16]": "exponentials, sum, probabilities and their gradients are each rounded to "
        "half precision",
    },
)
def naive_cross_entropy(logits: torch.Tensor, target: torch.Tensor, *, reduction: str = "mean") -> torch.Tensor:
    """``-log(exp(x_target) / Σ exp(x))`` without subtracting the maximum, so that exp overflows and log meets 0.

    Args:
        logits: (N, C) or (N, C, d1, …), any floating dtype.
        target: (N,) or (N, d1, …) class indices, int64.
        reduction: ``none``, ``mean`` or ``sum``.

    Raises:
        ValueError: ``reduction`` is none of the three.
    """
    exponentials = torch.exp(logits)
    probabilities = exponentials / exponentials.sum(dim=1, keepdim=True)
    losses = -torch.log(probabilities).gather(1, target.unsqueeze(1)).squeeze(1)
    if reduction == "none":
        return losses
    if reduction == "mean":
        return losses.mean()
    if reduction == "sum":
        return losses.sum()
    raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
