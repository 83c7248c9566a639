"""Linear cross-entropy, one chunk of rows after another: no more logits in memory than one chunk has."""

from __future__ import annotations

import torch

from harness import implementation

from .autograd import LinearCrossEntropy
from .problem import DTYPES, Options


@implementation("linear_chunked", loss="linear_cross_entropy", targets=("index",))
def linear_chunked(
    input: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Linear cross-entropy in chunks of rows, gradients made on the way forward: needs the memory of one chunk.

    Drop-in for ``F.linear_cross_entropy`` with index targets. Logits, losses and sums over rows are float32 (float64
    for float64), each result rounded once. Ignored rows are left out before the products, so what they hold is never
    read.

    Args:
        input: (N, H) or (H,) hidden states; float64, float32, bfloat16 or float16.
        linear_weight: (C, H), of the same dtype.
        target: (N,) or () class indices, int64.
        linear_bias: (C,), added to the product.
        weight: (C,) weight of each class; it gets no gradient.
        reduction: ``none``, ``mean`` (over the weights of the targets) or ``sum``.
        ignore_index: targets of this value contribute nothing.
        label_smoothing: share of the target mass that is spread evenly over the classes, in [0, 1].

    Returns:
        The loss, of the dtype of ``input``: 0-dimensional, or shaped like ``target`` for ``none``. With ``none`` the
        chunks are computed a second time in the backward. It can be differentiated once.

    Raises:
        IndexError: a target outside [0, C) that is not ``ignore_index``.
        RuntimeError: tensors of several dtypes or devices, or a target that is not int64.
        ValueError: shapes or options that have no meaning.
    """
    single = input.dim() == 1
    hidden, labels = (input.unsqueeze(0), target.unsqueeze(0)) if single else (input, target)
    options = Options(ignore_index=ignore_index, reduction=reduction, label_smoothing=float(label_smoothing))
    _require_tensors(hidden, linear_weight, labels, linear_bias, weight)
    _require_options(options, weight)
    loss = LinearCrossEntropy.apply(hidden, linear_weight, labels, linear_bias, weight, options)
    return loss.squeeze(0) if single and reduction == "none" else loss


def _require_tensors(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    linear_bias: torch.Tensor | None,
    weight: torch.Tensor | None,
) -> None:
    if hidden.dtype not in DTYPES:
        raise RuntimeError(f"input is {hidden.dtype}; allowed: {', '.join(str(dtype) for dtype in DTYPES)}")
    if target.dtype != torch.int64:
        raise RuntimeError(f"target is {target.dtype}; linear_chunked takes class indices in int64")
    if hidden.dim() != 2 or linear_weight.dim() != 2 or linear_weight.shape[1] != hidden.shape[1]:
        raise ValueError(
            f"input has shape {tuple(hidden.shape)} and linear_weight {tuple(linear_weight.shape)}; "
            "they need (N, H) and (C, H)"
        )
    classes = linear_weight.shape[0]
    expected = {"target": (hidden.shape[0],), "linear_bias": (classes,), "weight": (classes,)}
    given = {"target": target, "linear_bias": linear_bias, "weight": weight}
    for name, tensor in given.items():
        if tensor is not None and tuple(tensor.shape) != expected[name]:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; {expected[name]} is needed")
    for name, tensor in {**given, "linear_weight": linear_weight}.items():
        if tensor is not None and tensor.device != hidden.device:
            raise RuntimeError(f"{name} is on {tensor.device}, input on {hidden.device}; put them on one device")
        if name in ("linear_weight", "linear_bias") and tensor is not None and tensor.dtype != hidden.dtype:
            raise RuntimeError(f"{name} is {tensor.dtype}, input {hidden.dtype}; give both one dtype")


def _require_options(options: Options, weight: torch.Tensor | None) -> None:
    if options.reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction is {options.reduction!r}; allowed: none, mean, sum")
    if not 0.0 <= options.label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is {options.label_smoothing}; allowed: 0 to 1")
    if weight is not None and weight.requires_grad and torch.is_grad_enabled():
        raise RuntimeError("weight requires grad; with index targets it has no gradient")
