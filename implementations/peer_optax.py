"""optax's softmax cross-entropy under jax.jit on the CPU, called through DLPack without copies where XLA allows.

Source: optax/losses/_classification.py of optax 0.2.8.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from harness import implementation

_IN_HALF = "the row's log-sum-exp is rounded to half precision before the target's logit is taken from it"
_IGNORED = "the gradient of an ignored row is 0 · softmax: NaN where its logits are NaN or all -inf"


@implementation(
    "optax",
    devices=("cpu",),
    # jax computes in float32 unless the whole process is switched to 64 bits
    dtypes=("float32", "bfloat16", "float16"),
    requires=("optax>=0.2.3", "jax>=0.5.3"),
    expect={
        "*[dtype=bfloat16|float16]": _IN_HALF,
        "stability[regime=nonfinite,ignored>0]": _IGNORED,
        "ignored": _IGNORED,
        "targets": "no error outside [0, C): NaN above, negative labels count from the end, 64 bits are cut to 32",
        "grad_output[variant=requires_target]": "class probabilities get no gradient through this adapter",
    },
)
def optax(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> torch.Tensor:
    """optax.softmax_cross_entropy (…_with_integer_labels for class indices) of (N, C) logits, reduced as torch does.

    Ignored rows are left out with ``jnp.where``. The gradient is jax's own, made by a second compiled function in the
    backward pass; class probabilities get none.

    Raises:
        ValueError: logits are not (N, C): optax would take the last dimension for the classes.
    """
    if logits.dim() != 2:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; optax is asked for (N, C)")
    return _Optax.apply(logits, target, ignore_index, reduction)


class _Optax(torch.autograd.Function):
    """Carries values to jax and back, and the gradient likewise."""

    @staticmethod
    def forward(ctx: Any, logits: torch.Tensor, target: torch.Tensor, ignore_index: int, reduction: str) -> Any:
        # jax holds 32 bits: indices beyond them would be cut, and there are no such classes
        labels = target if target.is_floating_point() else target.to(torch.int32)
        ctx.save_for_backward(logits, labels)
        ctx.options = (ignore_index, reduction)
        loss, _ = _functions(ignore_index, reduction, target.is_floating_point())
        return _to_torch(loss(_to_jax(logits), _to_jax(labels)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: torch.Tensor) -> Any:
        logits, labels = ctx.saved_tensors
        _, gradient = _functions(*ctx.options, labels.is_floating_point())
        found = gradient(_to_jax(logits), _to_jax(labels), _to_jax(grad_outputs[0]))
        return _to_torch(found), None, None, None


@cache
def _functions(ignore_index: int, reduction: str, probability: bool) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The compiled loss of (logits, labels), and its gradient of (logits, labels, upstream)."""
    import jax

    def loss(logits: Any, labels: Any) -> Any:
        return _loss(logits, labels, ignore_index, reduction, probability)

    def gradient(logits: Any, labels: Any, upstream: Any) -> Any:
        _, pull = jax.vjp(lambda x: loss(x, labels), logits)
        return pull(upstream)[0]

    return jax.jit(loss), jax.jit(gradient)


def _loss(logits: Any, labels: Any, ignore_index: int, reduction: str, probability: bool) -> Any:
    import jax.numpy as jnp
    from optax.losses import softmax_cross_entropy, softmax_cross_entropy_with_integer_labels

    if probability:
        losses, count = softmax_cross_entropy(logits, labels), logits.shape[0]
    else:
        kept = labels != ignore_index
        losses = softmax_cross_entropy_with_integer_labels(logits, jnp.where(kept, labels, 0))
        losses, count = jnp.where(kept, losses, jnp.zeros_like(losses)), kept.sum()
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else (losses.sum() / count).astype(logits.dtype)


def _to_jax(tensor: torch.Tensor) -> Any:
    import jax

    return jax.dlpack.from_dlpack(tensor.detach().contiguous())


def _to_torch(array: Any) -> torch.Tensor:
    # jax's arrays are immutable: what autograd may write to needs memory of its own
    return torch.from_dlpack(array).clone()
