"""The gradients that only probability targets have: of the target and of the class weight."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch

from . import plan
from .launch import Call, Statistics, Upstream, accumulator, on_device, rows_of
from .target_kernels import target_gradient_kernel, weight_gradient_kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class MassGradients:
    """Gradients of probability targets and of the weight that goes with them, from saved statistics."""

    call: Call
    kept: Statistics
    upstream: Upstream
    divisor: torch.Tensor | None

    def target(self) -> torch.Tensor:
        """Of the target: G·KEEP·w·(−log p), shaped like the logits."""
        call, options = self.call, self.call.options
        grad = torch.empty_like(call.target)
        if grad.numel() == 0:
            return grad
        logits, at, out = call.logits, rows_of(call.logits), rows_of(grad)
        rows, block = plan.target_gradient_plan(call.problem, call.device)
        with on_device(logits):
            target_gradient_kernel[(-(-call.rows // rows), -(-logits.shape[1] // block))](
                logits, at.offsets, logits if call.weight is None else call.weight, self.kept.maximum,
                self.kept.others, self.upstream.value, self.kept.maximum if self.divisor is None else self.divisor,
                grad, out.offsets, call.rows, logits.shape[1], prod(logits.shape[2:]), at.outer, at.inner, at.classes,
                out.outer, out.inner, out.classes, 0 if call.weight is None else call.weight.stride(0),
                self.upstream.stride, KEEP=1.0 - options.label_smoothing, SOFTCAP=options.softcap,
                WEIGHTED=call.weight is not None, MEAN=self.divisor is not None, LOGITS_GATHERED=at.gathered,
                GRAD_GATHERED=out.gathered, ACC=accumulator(call), ROWS=rows, BLOCK=block, num_warps=8,
            )  # fmt: skip
        return grad

    def weight(self) -> torch.Tensor:
        """Of the class weight: Σ over rows of G·(q·KEEP + SPREAD)·(−log p)."""
        call, options, classes = self.call, self.call.options, self.call.logits.shape[1]
        if call.rows == 0:
            return torch.zeros_like(call.weight)
        logits, at, to = call.logits, rows_of(call.logits), rows_of(call.target)
        rows, block, per_part = plan.weight_gradient_plan(call.rows, classes)
        parts = -(-call.rows // per_part)
        partial = torch.empty((parts, classes), dtype=call.dtype, device=logits.device)
        with on_device(logits):
            weight_gradient_kernel[(parts, -(-classes // block))](
                logits, at.offsets, call.target, to.offsets, self.kept.maximum, self.kept.others, self.upstream.value,
                self.kept.maximum if self.divisor is None else self.divisor, partial, call.rows, classes,
                prod(logits.shape[2:]), at.outer, at.inner, at.classes, to.outer, to.inner, to.classes,
                self.upstream.stride, per_part, SPREAD=options.label_smoothing / classes,
                KEEP=1.0 - options.label_smoothing, SOFTCAP=options.softcap, MEAN=self.divisor is not None,
                LOGITS_GATHERED=at.gathered, TARGET_GATHERED=to.gathered, ACC=accumulator(call), ROWS=rows,
                BLOCK=block, num_warps=4,
            )  # fmt: skip
        return partial.sum(0, dtype=torch.float64).to(logits.dtype)
