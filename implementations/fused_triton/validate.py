"""What a call must be like; each refusal says what was found and what is allowed."""

from __future__ import annotations

import math

import torch


def require_device(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, interpreted: bool) -> None:
    """Tensors of one device that the kernels run on."""
    if logits.device.type != "cuda" and not (interpreted and logits.device.type == "cpu"):
        raise RuntimeError(
            f"logits are on {logits.device}: fused_triton runs on CUDA tensors, or on CPU tensors where "
            "TRITON_INTERPRET=1 is set before its first call"
        )
    for name, tensor in (("target", target), ("weight", weight)):
        if tensor is not None and tensor.device != logits.device:
            raise RuntimeError(f"{name} is on {tensor.device}, logits are on {logits.device}")


def require_shapes(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, probability: bool) -> None:
    """Dtypes and shapes that fit together."""
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


def require_options(ignore_index: int, reduction: str, label_smoothing: float, probability: bool) -> None:
    """Options that torch allows too."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction is {reduction!r}; allowed: none, mean, sum")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is {label_smoothing}; allowed: 0 to 1")
    if probability and ignore_index >= 0:
        raise ValueError(f"ignore_index is {ignore_index}; with probability targets there is no index to ignore")


def require_extras(z_loss: float, softcap: float | None) -> None:
    """z_loss ≥ 0 and softcap > 0, both finite."""
    if not (math.isfinite(z_loss) and z_loss >= 0.0):
        raise ValueError(f"z_loss is {z_loss}; allowed: 0 or more, 0 for none")
    if softcap is not None and not (math.isfinite(softcap) and softcap > 0.0):
        raise ValueError(f"softcap is {softcap}; allowed: above 0, or None for none")


def require_gradients(logits: torch.Tensor, weight: torch.Tensor | None, probability: bool, inplace: bool) -> None:
    """No gradient of weight with index targets; nothing written over logits whose entries share memory."""
    if weight is not None and weight.requires_grad and not probability and torch.is_grad_enabled():
        raise NotImplementedError("the gradient of weight exists with probability targets only")
    if inplace and _may_overlap(logits):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} and strides {logits.stride()} may share memory between entries: "
            "a gradient cannot be written over them"
        )


def _may_overlap(tensor: torch.Tensor) -> bool:
    # each dimension, from the densest, must step over all that those before it span
    span = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1:
            if stride < span:
                return True
            span = stride * (size - 1) + span
    return False
