"""Fused cross-entropy in Triton: one read of the logits forward, one read and one write backward."""

from __future__ import annotations

import torch

from harness import implementation


@implementation(
    "fused_triton",
    loss="cross_entropy",
    devices=("cuda", "triton-interpreter"),
    requires=("triton>=3.2",),
    expect={"targets[variant!=after]": "a target outside [0, C) makes its row NaN: an error would wait for the device"},
)
def fused_triton_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Drop-in for ``F.cross_entropy`` on CUDA; rows keep (maximum, sum of the others) for the backward pass.

    Statistics are float32 (float64 for float64 logits) and every result is rounded once to the dtype of ``logits``.
    Unlike torch, an index target outside [0, C) that is not ``ignore_index`` makes its row's loss and gradient NaN
    (torch stops with a device assert), and a class without target mass costs nothing even where its logit is −inf.

    Args:
        logits: (C,), (N, C) or (N, C, d1, …) with any strides; float64, float32, bfloat16 or float16.
        target: (N,) or (N, d1, …) class indices, int64 or uint8; or class probabilities shaped like ``logits``.
        weight: (C,) weight of each class.
        ignore_index: index targets of this value contribute nothing and get a gradient of exactly 0.
        reduction: ``none``, ``mean`` (over the weights of the index targets, else over rows) or ``sum``.
        label_smoothing: share of the target mass that is spread evenly over the classes, in [0, 1].

    Returns:
        The loss, of the dtype of ``logits``: 0-dimensional, or shaped like index targets for ``none``. It can be
        differentiated once with respect to ``logits`` and, with probability targets, ``target`` and ``weight``.

    Raises:
        RuntimeError: a CPU tensor where the kernels are compiled, not interpreted; tensors on several devices.
        TypeError, ValueError: dtypes, shapes or options that have no meaning.
        NotImplementedError: a gradient of ``weight`` with index targets (torch has none either), or double backward.
    """
    from .autograd import INTERPRETED, FusedCrossEntropy, Options

    _require_device(logits, target, weight, INTERPRETED)
    if logits.dim() == 1:
        logits, target = logits.unsqueeze(0), target.unsqueeze(0)
        batch_shape: tuple[int, ...] = ()
    else:
        batch_shape = (*logits.shape[:1], *logits.shape[2:])
    probability = target.is_floating_point()
    _require_shapes(logits, target, weight, probability)
    _require_options(ignore_index, reduction, label_smoothing, probability)
    if weight is not None and weight.requires_grad and not probability and torch.is_grad_enabled():
        raise NotImplementedError("the gradient of weight exists with probability targets only")
    options = Options(
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing, probability=probability
    )
    loss = FusedCrossEntropy.apply(logits, target if probability else target.reshape(-1), weight, options)
    return loss.reshape(batch_shape) if reduction == "none" else loss


def _require_device(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, interpreted: bool) -> None:
    if logits.device.type != "cuda" and not (interpreted and logits.device.type == "cpu"):
        raise RuntimeError(
            f"logits are on {logits.device}: fused_triton runs on CUDA tensors, or on CPU tensors where "
            "TRITON_INTERPRET=1 is set before its first call"
        )
    for name, tensor in (("target", target), ("weight", weight)):
        if tensor is not None and tensor.device != logits.device:
            raise RuntimeError(f"{name} is on {tensor.device}, logits are on {logits.device}")


def _require_shapes(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, probability: bool) -> None:
    if logits.dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        raise TypeError(f"logits are {logits.dtype}; allowed: float64, float32, bfloat16, float16")
    if not probability and target.dtype not in (torch.int64, torch.uint8):
        raise TypeError(f"target is {target.dtype}; allowed: int64 or uint8 class indices, or floating probabilities")
    if logits.dim() < 1 or logits.shape[min(1, logits.dim() - 1)] == 0:
        raise ValueError(f"logits of shape {tuple(logits.shape)} have no classes")
    expected = logits.shape if probability else (*logits.shape[:1], *logits.shape[2:])
    if tuple(target.shape) != tuple(expected):
        raise ValueError(f"target has shape {tuple(target.shape)}; logits {tuple(logits.shape)} need {tuple(expected)}")
    if weight is not None and tuple(weight.shape) != (logits.shape[1],):
        raise ValueError(f"weight has shape {tuple(weight.shape)}; {logits.shape[1]} classes need ({logits.shape[1]},)")


def _require_options(ignore_index: int, reduction: str, label_smoothing: float, probability: bool) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is {label_smoothing}; allowed: 0 to 1")
    if probability and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}; with probability targets there is no index to ignore")
