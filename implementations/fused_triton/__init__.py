"""Fused cross-entropy in Triton: one read of the logits and one write of the gradient; variants name one way each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from harness import implementation

if TYPE_CHECKING:
    from .plan import Strategy

_DEVICES = ("cuda", "triton-interpreter")
_REQUIRES = ("triton>=3.6",)
_DIFFERS = {"targets[variant!=after]": "a target outside [0, C) makes its row NaN: an error would wait for the device"}

_OVERWRITES = "the backward pass writes the gradient over the logits, so a second call on them reads the gradient"


@implementation("fused_triton", loss="cross_entropy", devices=_DEVICES, requires=_REQUIRES, expect=_DIFFERS)
def fused_triton(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """Drop-in for ``F.cross_entropy`` on CUDA that reads the logits once, and writes the gradient with the loss.

    The loss of a row of logits x̃ = softcap · tanh(x / softcap), or x itself, is that of ``F.cross_entropy`` for x̃, plus
    z_loss · w · logsumexp(x̃)², w the weight of its index target, or 1 for probability targets. Statistics are float32
    (float64 for float64 logits), and every result is rounded once to the dtype of ``logits``. Unlike torch, an index
    target outside [0, C) that is not ``ignore_index`` makes its row's loss and gradient NaN (torch stops with a device
    assert), and a class without target mass costs nothing even where its logit is −inf.

    Where the logits are larger than the device's cache, the reduced loss makes the gradient in the forward pass, for an
    upstream gradient of 1, which the device itself compares: any other makes it anew from the logits.

    Args:
        logits: (C,), (N, C) or (N, C, d1, …) with any strides; float64, float32, bfloat16 or float16.
        target: (N,) or (N, d1, …) class indices, int64 or uint8; or class probabilities shaped like ``logits``.
        weight: (C,) weight of each class.
        ignore_index: index targets of this value contribute nothing and get a gradient of exactly 0.
        reduction: ``none``, ``mean`` (over the weights of the index targets, else over rows) or ``sum``.
        label_smoothing: share of the target mass that is spread evenly over the classes, in [0, 1].
        z_loss: factor of the squared logsumexp, 0 or more.
        softcap: bound of the logits' size, above 0, or none.

    Returns:
        The loss, of the dtype of ``logits``: 0-dimensional, or shaped like index targets for ``none``. It can be
        differentiated once with respect to ``logits`` and, with probability targets, ``target`` and ``weight``.

    Raises:
        RuntimeError: a CPU tensor where the kernels are compiled, not interpreted; tensors on several devices.
        TypeError, ValueError: dtypes, shapes or options that have no meaning.
        NotImplementedError: a gradient of ``weight`` with index targets (torch has none either), or double backward.
    """
    return _cross_entropy(
        "auto", False, logits, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap
    )


@implementation("fused_triton_recompute", loss="cross_entropy", devices=_DEVICES, requires=_REQUIRES, expect=_DIFFERS)
def fused_triton_recompute(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """``fused_triton`` that keeps two numbers a row and makes the gradient in the backward pass only.

    2 reads and 1 write, whatever the upstream gradient; what ``fused_triton`` does where the logits stay in cache.
    """
    return _cross_entropy(
        "recompute", False, logits, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap
    )


@implementation("fused_triton_resident", loss="cross_entropy", devices=_DEVICES, requires=_REQUIRES, expect=_DIFFERS)
def fused_triton_resident(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """``fused_triton`` that always makes it with the loss, each row in the registers of one or several programs.

    1 read and 1 write; programs of a row exchange their statistics through memory and wait for one another.
    """
    return _cross_entropy(
        "resident", False, logits, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap
    )


@implementation("fused_triton_capped", loss="cross_entropy", devices=_DEVICES, requires=_REQUIRES, expect=_DIFFERS)
def fused_triton_capped(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """``fused_triton`` that makes it with the loss from rows that stay in the second-level cache.

    1 read from memory, 1 from the cache and 1 write: no more rows at a time than about half of that cache holds.
    """
    return _cross_entropy(
        "capped", False, logits, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap
    )


@implementation("fused_triton_three_pass", loss="cross_entropy", devices=_DEVICES, requires=_REQUIRES, expect=_DIFFERS)
def fused_triton_three_pass(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """``fused_triton`` that makes it with the loss, a program a row and no care for caches.

    2 reads and 1 write: how published kernels do it, and what the other ways are to be compared with.
    """
    return _cross_entropy(
        "three_pass", False, logits, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap
    )


@implementation(
    "fused_triton_inplace",
    loss="cross_entropy",
    devices=_DEVICES,
    requires=_REQUIRES,
    expect=_DIFFERS
    | dict.fromkeys(("side_effects", "grad_output", "repeatability", "honesty", "composition"), _OVERWRITES),
)
def fused_triton_inplace(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
    z_loss: float = 0.0,
    softcap: float | None = None,
) -> torch.Tensor:
    """``fused_triton_recompute`` whose backward pass writes the gradient over the logits: no second buffer.

    The version counter of the logits goes up, so that a second backward pass, or another function that kept them,
    raises torch's error instead of giving a wrong gradient.
    """
    return _cross_entropy(
        "recompute", True, logits, target, weight, ignore_index, reduction, label_smoothing, z_loss, softcap
    )


def _cross_entropy(
    strategy: Strategy,
    inplace: bool,
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
    z_loss: float,
    softcap: float | None,
) -> torch.Tensor:
    from . import validate
    from .autograd import FusedCrossEntropy
    from .launch import INTERPRETED, Options

    validate.require_device(logits, target, weight, INTERPRETED)
    if logits.dim() == 1:
        logits, target = logits.unsqueeze(0), target.unsqueeze(0)
        batch_shape: tuple[int, ...] = ()
    else:
        batch_shape = (*logits.shape[:1], *logits.shape[2:])
    probability = target.is_floating_point()
    validate.require_shapes(logits, target, weight, probability)
    validate.require_options(ignore_index, reduction, label_smoothing, probability)
    validate.require_extras(z_loss, softcap)
    validate.require_gradients(logits, weight, probability, inplace)
    options = Options(
        ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing, probability=probability,
        z_loss=float(z_loss), softcap=float(softcap or 0.0), strategy=strategy, inplace=inplace,
        differentiable=logits.requires_grad and torch.is_grad_enabled(),
    )  # fmt: skip
    loss = FusedCrossEntropy.apply(logits, target if probability else target.reshape(-1), weight, options)
    return loss.reshape(batch_shape) if reduction == "none" else loss
