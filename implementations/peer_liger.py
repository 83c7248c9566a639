"""Liger-Kernel's Triton losses: cross-entropy that writes its gradient over the logits, and the fused linear form.

Source: liger_kernel/transformers/functional.py and liger_kernel/ops of liger-kernel 0.8.5.
"""

from __future__ import annotations

import torch

from harness import implementation

_REQUIRES = ("liger-kernel>=0.5", "triton>=3.2")
_DEVICES = ("cuda", "triton-interpreter")
# the kernels convert every logit to float32
_DTYPES = ("float32", "bfloat16", "float16")


_IN_PLACE = "the gradient is written over the logits, which every later use of them then meets (ops/cross_entropy.py)"
_STRIDED = (
    "where classes do not lie side by side the kernel gets a contiguous copy, which inside the function requires "
    "no grad: no gradient is made, and the copy of the logits is returned as if it were one"
)
_IN_HALF = (
    "gradients of weight and bias are added up over the chunks in the tensors' own half precision (accum_dtype=None)"
)
_NO_ROWS = "the mean over no rows is 0, where torch gives NaN"
_INTERPRETER_WEIGHT = "the kernel calls .to() on a scalar that the interpreter hands it as a Python float"
_INTERPRETER_BFLOAT16 = "the interpreter multiplies bfloat16 values as integers (element_mul_kernel)"


@implementation(
    "liger",
    devices=_DEVICES,
    dtypes=_DTYPES,
    targets=("index",),
    requires=_REQUIRES,
    expect={
        "*[weight!=none,device=triton-interpreter]": _INTERPRETER_WEIGHT,
        "side_effects|grad_output|relations|repeatability|honesty|composition": _IN_PLACE,
        "stability[variant=poisoned_row]": _IN_PLACE,
        "gradient|stability|layout[layout=transposed]": _STRIDED,
        "layout|large_index": _STRIDED,
        "*[dtype=bfloat16,device=triton-interpreter,grad_output!=one]": _INTERPRETER_BFLOAT16,
        "gradient[dtype=bfloat16|float16,grad_output!=one]": (
            "the gradient is rounded to half precision before the upstream gradient is multiplied in"
        ),
        "stability|ignored[ignored=1,reduction=mean]": _NO_ROWS,
        "ignored": "no rows at all raise an error: the largest target of none is asked for",
    },
)
def liger(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Liger's cross-entropy of (N, C) logits: loss and gradient in one kernel, the gradient in place of the logits."""
    from liger_kernel.transformers.functional import liger_cross_entropy

    return liger_cross_entropy(
        logits, target, weight=weight, ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing
    )


@implementation(
    "liger_linear",
    loss="linear_cross_entropy",
    devices=_DEVICES,
    dtypes=_DTYPES,
    targets=("index",),
    requires=_REQUIRES,
    expect={
        "*[weight!=none,device=triton-interpreter]": _INTERPRETER_WEIGHT,
        "stability|options[ignored=1,reduction=mean]": _NO_ROWS,
        "grad_output[variant=twice]": "a second backward scales the gradients that the first one returned, in place",
        "grad_output[variant=create_graph]": (
            "gradients made in the forward are constants to a second derivative, which is then 0 without an error"
        ),
        "grad_output[variant=requires_linear_*]": (
            "where hidden requires no grad, no gradient is made of the weight and the bias either"
        ),
        "relations[dtype=float16]": _IN_HALF,
        "gradient[dtype=bfloat16|float16,device=cuda]": _IN_HALF,
    },
)
def liger_linear(
    hidden: torch.Tensor,
    linear_weight: torch.Tensor,
    target: torch.Tensor,
    *,
    linear_bias: torch.Tensor | None = None,
    weight: torch.Tensor | None = None,
    reduction: str = "mean",
    ignore_index: int = -100,
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Liger's fused linear cross-entropy: logits of one chunk of rows at a time, all gradients made in the forward."""
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    loss = liger_fused_linear_cross_entropy(
        hidden, linear_weight, target, bias=linear_bias, ce_weight=weight, ignore_index=ignore_index,
        label_smoothing=label_smoothing, reduction=reduction,
    )  # fmt: skip
    # it returns float32; torch's loss has the dtype of its input
    return loss.to(hidden.dtype)
