"""The autograd function around the kernels: buffers, launches, reductions."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import triton.language as tl
from triton.runtime.jit import JITFunction

from . import kernels
from .plan import collapsed_stride, launch_plan, weight_gradient_plan

#: Whether ``TRITON_INTERPRET`` was set when the kernels were defined: they then run on the CPU, in numpy.
INTERPRETED = not isinstance(kernels.forward_kernel, JITFunction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of one call, as the kernels need them."""

    ignore_index: int
    reduction: str
    label_smoothing: float
    probability: bool

    @property
    def mass(self) -> bool:
        """Whether every class takes a share of the target, not only the target's own."""
        return self.probability or self.label_smoothing > 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    # where the rows of a tensor (N, C, d1, …) lie; `offsets` where no two strides reach them (else the tensor itself)
    offsets: torch.Tensor
    outer: int
    inner: int
    classes: int
    gathered: bool


def _rows(tensor: torch.Tensor) -> _Rows:
    inner = collapsed_stride(tensor.shape[2:], tensor.stride()[2:])
    offsets = tensor
    if inner is None:
        offsets = torch.zeros((), dtype=torch.int64, device=tensor.device)
        for dim in (0, *range(2, tensor.dim())):
            steps = torch.arange(tensor.shape[dim], device=tensor.device) * tensor.stride(dim)
            offsets = offsets.unsqueeze(-1) + steps
        offsets = offsets.reshape(-1)
    return _Rows(
        offsets=offsets, outer=tensor.stride(0), inner=inner or 0, classes=tensor.stride(1), gathered=inner is None
    )


def _index_rows(target: torch.Tensor) -> _Rows:
    return _Rows(offsets=target, outer=0, inner=0, classes=target.stride(0), gathered=False)


@contextlib.contextmanager
def _on_device(tensor: torch.Tensor) -> Iterator[None]:
    if tensor.is_cuda:
        with torch.cuda.device(tensor.device):
            yield
        return
    import numpy as np

    # the interpreter computes both sides of every select in numpy, which warns of inf − inf where a GPU does not
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _accumulator(dtype: torch.dtype) -> tuple[torch.dtype, Any]:
    return (torch.float64, tl.float64) if dtype == torch.float64 else (torch.float32, tl.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Statistics:
    # what the forward pass keeps of each row, in the accumulation dtype
    maximum: torch.Tensor
    others: torch.Tensor
    mass: torch.Tensor


def _forward(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
) -> tuple[torch.Tensor, torch.Tensor, _Statistics]:
    count, classes, inner = logits.numel() // logits.shape[1], logits.shape[1], prod(logits.shape[2:])
    dtype, acc = _accumulator(logits.dtype)

    def buffer(needed: bool = True) -> torch.Tensor:
        return torch.empty(count if needed else 0, dtype=dtype, device=logits.device)

    losses = torch.empty(count, dtype=logits.dtype, device=logits.device) if options.reduction == "none" else buffer()
    kept = _Statistics(maximum=buffer(), others=buffer(), mass=buffer(options.mass))
    row_weight = buffer(not options.probability)
    if count == 0:
        return losses, row_weight, kept
    at, to = _rows(logits), _rows(target) if options.probability else _index_rows(target)
    plan = launch_plan(classes, logits.element_size())
    with _on_device(logits):
        kernels.forward_kernel[(plan.grid(count, classes)[0],)](
            logits, at.offsets, target, to.offsets, logits if weight is None else weight,
            losses, kept.maximum, kept.others, kept.mass, row_weight,
            count, classes, inner, at.outer, at.inner, at.classes, to.outer, to.inner, to.classes,
            0 if weight is None else weight.stride(0), options.ignore_index,
            SPREAD=options.label_smoothing / classes, KEEP=1.0 - options.label_smoothing,
            PROBABILITY=options.probability, MASS=options.mass, WEIGHTED=weight is not None,
            LOGITS_GATHERED=at.gathered, TARGET_GATHERED=to.gathered, ACC=acc, ROWS=plan.rows, BLOCK=plan.block,
            num_warps=plan.num_warps,
        )  # fmt: skip
    return losses, row_weight, kept


@dataclass(frozen=True, slots=True, kw_only=True)
class _Backward:
    # one backward pass: what was saved, and the upstream gradient of each row (a 0-dimensional one has stride 0)
    logits: torch.Tensor
    target: torch.Tensor
    weight: torch.Tensor | None
    kept: _Statistics
    options: Options
    upstream: torch.Tensor
    upstream_stride: int

    @property
    def rows(self) -> int:
        return self.kept.maximum.numel()

    @property
    def sizes(self) -> tuple[int, int, int]:
        return self.rows, self.logits.shape[1], prod(self.logits.shape[2:])

    def shares(self) -> dict[str, float]:
        classes = self.logits.shape[1]
        return {"SPREAD": self.options.label_smoothing / classes, "KEEP": 1.0 - self.options.label_smoothing}

    def logits_gradient(self) -> torch.Tensor:
        logits, target, weight, options = self.logits, self.target, self.weight, self.options
        grad = torch.empty_like(logits)
        if grad.numel() == 0:
            return grad
        at, out = _rows(logits), _rows(grad)
        to = _rows(target) if options.probability else _index_rows(target)
        plan = launch_plan(logits.shape[1], logits.element_size())
        with _on_device(logits):
            kernels.logits_gradient_kernel[plan.grid(self.rows, logits.shape[1])](
                logits, at.offsets, target, to.offsets, logits if weight is None else weight,
                self.kept.maximum, self.kept.others, self.kept.mass, self.upstream, grad, out.offsets,
                *self.sizes, at.outer, at.inner, at.classes, to.outer, to.inner, to.classes,
                out.outer, out.inner, out.classes, 0 if weight is None else weight.stride(0), self.upstream_stride,
                options.ignore_index, **self.shares(), PROBABILITY=options.probability, MASS=options.mass,
                WEIGHTED=weight is not None, LOGITS_GATHERED=at.gathered, TARGET_GATHERED=to.gathered,
                GRAD_GATHERED=out.gathered, ACC=_accumulator(logits.dtype)[1], ROWS=plan.rows, BLOCK=plan.block,
                num_warps=plan.num_warps,
            )  # fmt: skip
        return grad

    def target_gradient(self) -> torch.Tensor:
        logits, weight = self.logits, self.weight
        grad = torch.empty_like(self.target)
        if grad.numel() == 0:
            return grad
        at, out = _rows(logits), _rows(grad)
        plan = launch_plan(logits.shape[1], logits.element_size())
        with _on_device(logits):
            kernels.target_gradient_kernel[plan.grid(self.rows, logits.shape[1])](
                logits, at.offsets, logits if weight is None else weight, self.kept.maximum, self.kept.others,
                self.upstream, grad, out.offsets, *self.sizes, at.outer, at.inner, at.classes,
                out.outer, out.inner, out.classes, 0 if weight is None else weight.stride(0), self.upstream_stride,
                KEEP=self.shares()["KEEP"], WEIGHTED=weight is not None, LOGITS_GATHERED=at.gathered,
                GRAD_GATHERED=out.gathered, ACC=_accumulator(logits.dtype)[1], ROWS=plan.rows, BLOCK=plan.block,
                num_warps=plan.num_warps,
            )  # fmt: skip
        return grad

    def weight_gradient(self) -> torch.Tensor:
        logits, classes = self.logits, self.logits.shape[1]
        if self.rows == 0:
            return torch.zeros_like(self.weight)
        dtype, acc = _accumulator(logits.dtype)
        plan, rows_per_part = weight_gradient_plan(self.rows, classes)
        parts = -(-self.rows // rows_per_part)
        partial = torch.empty((parts, classes), dtype=dtype, device=logits.device)
        at, to = _rows(logits), _rows(self.target)
        with _on_device(logits):
            kernels.weight_gradient_kernel[(parts, plan.grid(1, classes)[1])](
                logits, at.offsets, self.target, to.offsets, self.kept.maximum, self.kept.others, self.upstream,
                partial, *self.sizes, at.outer, at.inner, at.classes, to.outer, to.inner, to.classes,
                self.upstream_stride, rows_per_part, **self.shares(), LOGITS_GATHERED=at.gathered,
                TARGET_GATHERED=to.gathered, ACC=acc, ROWS=plan.rows, BLOCK=plan.block, num_warps=plan.num_warps,
            )  # fmt: skip
        return partial.sum(0, dtype=torch.float64).to(logits.dtype)


class FusedCrossEntropy(torch.autograd.Function):
    """``apply(logits, target, weight, options)`` for logits (N, C, d1, …); index targets are flattened to (N·d1·…,)."""

    @staticmethod
    def forward(
        ctx: Any, logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None, options: Options
    ) -> torch.Tensor:
        """The reduced loss, or the losses of shape (N·d1·…,)."""
        losses, row_weight, kept = _forward(logits, target, weight, options)
        divisor: torch.Tensor | None = None
        if options.reduction == "mean":
            rows = torch.full((), losses.numel(), dtype=torch.float64, device=logits.device)
            # a mean over no weight at all is 0/0, NaN, as in torch
            divisor = rows if options.probability else row_weight.sum(dtype=torch.float64)
        ctx.options = options
        ctx.save_for_backward(logits, target, weight, kept.maximum, kept.others, kept.mass, divisor)
        if options.reduction == "none":
            return losses
        # in float64: losses near the largest float32 would overflow in the sum of a finite mean
        total = losses.sum(dtype=torch.float64)
        return (total if divisor is None else total / divisor).to(logits.dtype)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Gradients of logits, probability targets and weight, each only if asked for.

        Raises:
            NotImplementedError: ``create_graph=True``: the gradient has no gradient.
        """
        if torch.is_grad_enabled():
            # returning a constant instead would drop the second-order term of a gradient penalty without a word
            raise NotImplementedError("fused_triton has no double backward: call backward() without create_graph=True")
        logits, target, weight, maximum, others, mass, divisor = ctx.saved_tensors
        upstream = grad_output.reshape(-1) if ctx.options.reduction == "none" else grad_output
        if divisor is not None:
            upstream = upstream.to(torch.float64) / divisor
        work = _Backward(
            logits=logits, target=target, weight=weight, options=ctx.options, upstream=upstream,
            kept=_Statistics(maximum=maximum, others=others, mass=mass),
            upstream_stride=upstream.stride(0) if upstream.dim() else 0,
        )  # fmt: skip
        wanted: tuple[Callable[[], torch.Tensor], ...] = (
            work.logits_gradient, work.target_gradient, work.weight_gradient,
        )  # fmt: skip
        asked = ctx.needs_input_grad
        return (*(make() if needed else None for make, needed in zip(wanted, asked, strict=False)), None)
