"""Cross-entropy on the CPU in one pass over memory: one C++ operator, or torch's operators on cache-sized pieces."""

from __future__ import annotations

import torch
from torch.compiler import is_dynamo_compiling

from harness import implementation

from .autograd import HardCrossEntropy, SoftCrossEntropy
from .native import DIRECT, compiler, operator
from .small import small_cross_entropy
from .targets import Options

#: Up to this many logits, calls cost more than arithmetic, and torch's two operators in a row are quickest.
SMALL = 1 << 16


_BY_KERNEL = "C++ operator, built by g++ at the first call"
_BY_TORCH = "torch operators on cache-sized pieces: no g++ was found to build the C++ operator"

_DOC = """Cross-entropy on the CPU that reads the logits once and writes the gradient once: {how}.

Drop-in for ``F.cross_entropy``. Arithmetic is float32 (float64 for float64 logits) and every result is rounded once to
the dtype of ``logits``. With index targets and a scalar loss the gradient is made in the forward pass. Unlike torch, a
class without target mass costs nothing even where its logit is −inf, and an ignored row has a gradient of 0 even where
its logits are NaN.

The C++ operator serves (N, C) logits in float32 and bfloat16 with index targets and no smoothing; the rest is computed
by torch's operators, one piece of rows after another.

Args:
    logits: (C,), (N, C) or (N, C, d1, …) with any strides; float64, float32, bfloat16 or float16.
    target: (N,) or (N, d1, …) class indices, int64 or uint8; or class probabilities shaped like ``logits``.
    weight: (C,) weight of each class.
    ignore_index: index targets of this value contribute nothing and get a gradient of exactly 0.
    reduction: ``none``, ``mean`` (over the weights of the index targets, else over rows) or ``sum``.
    label_smoothing: share of the target mass that is spread evenly over the classes, in [0, 1].

Returns:
    The loss, of the dtype of ``logits`` (float32 under autocast): 0-dimensional, or shaped like index targets for
    ``none``. Double backward goes through torch's own operators.

Raises:
    IndexError: an index target outside [0, C) that is not ``ignore_index``.
    RuntimeError: tensors that are not on the CPU, a target dtype that torch refuses, ``ignore_index`` ≥ 0 with
        probability targets, a gradient of ``weight`` with index targets, or an operator that cannot be built.
    ValueError: shapes or options that have no meaning.
"""


@implementation("fused_cpu", loss="cross_entropy", devices=("cpu",))
def fused_cpu_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """Replaced below: the first line says what computes here."""
    if not is_dynamo_compiling() and DIRECT:
        loss = DIRECT[0](logits, target, weight, ignore_index, reduction, label_smoothing)
        if loss is not None:
            return loss
    serve = operator()
    if serve is not None:
        loss = serve(logits, target, weight, ignore_index, reduction, label_smoothing)
        if loss is not None:
            return loss
    options = Options(ignore_index=ignore_index, reduction=reduction, label_smoothing=float(label_smoothing))
    return _cross_entropy(logits, target, weight, options)


fused_cpu_cross_entropy.__doc__ = _DOC.format(how=_BY_KERNEL if compiler() else _BY_TORCH)


@implementation("fused_cpu_torch", loss="cross_entropy", devices=("cpu",))
def fused_cpu_torch_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    *,
    weight: torch.Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> torch.Tensor:
    """`fused_cpu` without anything to build: torch's own operators, one cache-sized piece of rows after another.

    Arguments, results and errors are those of `fused_cpu`.
    """
    options = Options(ignore_index=ignore_index, reduction=reduction, label_smoothing=float(label_smoothing))
    return _cross_entropy(logits, target, weight, options)


def _cross_entropy(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
) -> torch.Tensor:
    if torch.is_autocast_enabled("cpu") and logits.dtype != torch.float64:
        logits = logits.float()
    if _is_small(logits, target, weight, options):
        loss = small_cross_entropy(logits, target, options.ignore_index, options.reduction)
        if loss is not None:
            return loss
    single = logits.dim() == 1
    if single:
        logits, target = logits.unsqueeze(0), target.unsqueeze(0)
    _require(logits, target, weight, options)
    function = SoftCrossEntropy if target.is_floating_point() else HardCrossEntropy
    loss = function.apply(logits, target, weight, options)
    return loss.squeeze(0) if single and options.reduction == "none" else loss


def _is_small(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options) -> bool:
    return (
        weight is None
        and options.label_smoothing == 0.0
        and options.reduction in ("mean", "sum")
        and logits.dim() == 2
        and 0 < logits.numel() <= SMALL
        and target.shape == logits.shape[:1]
        and target.dtype is torch.int64
        and logits.device.type == target.device.type == "cpu"
    )


def _require(logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options) -> None:
    for name, tensor in (("logits", logits), ("target", target), ("weight", weight)):
        if tensor is not None and tensor.device.type != "cpu":
            raise RuntimeError(f"{name} is on {tensor.device}; fused_cpu takes tensors on the CPU")
    if logits.dtype not in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        raise RuntimeError(f"logits are {logits.dtype}; allowed: float64, float32, bfloat16, float16")
    soft = target.is_floating_point()
    if not soft and target.dtype not in (torch.int64, torch.uint8):
        raise RuntimeError(f"target is {target.dtype}; allowed: int64 or uint8 class indices, or float probabilities")
    if soft and options.ignore_index >= 0:
        raise RuntimeError(
            f"ignore_index is {options.ignore_index}; with probability targets there is no index to ignore"
        )
    expected = logits.shape if soft else logits.shape[:1] + logits.shape[2:]
    if target.shape != expected:
        raise ValueError(f"target has shape {tuple(target.shape)}; logits {tuple(logits.shape)} need {tuple(expected)}")
    if weight is not None and tuple(weight.shape) != (logits.shape[1],):
        raise ValueError(f"weight has shape {tuple(weight.shape)}; {logits.shape[1]} classes need ({logits.shape[1]},)")
    if weight is not None and weight.requires_grad and not soft and torch.is_grad_enabled():
        raise RuntimeError("the gradient of weight exists with probability targets only")
    if options.reduction not in ("none", "mean", "sum"):
        raise ValueError(f"reduction is {options.reduction!r}; allowed: none, mean, sum")
    if not 0.0 <= options.label_smoothing <= 1.0:
        raise ValueError(f"label_smoothing is {options.label_smoothing}; allowed: 0 to 1")
