"""All chunks of a call, and the autograd function around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable

from .chunk import Masses, into_gradient, losses_then_exponentials
from .problem import Options, Problem, make_problem
from .products import add_outer, logits_of, times_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """Sums over all chunks, in the dtype of the arithmetic; None where not wanted."""

    hidden: torch.Tensor | None
    linear_weight: torch.Tensor | None
    linear_bias: torch.Tensor | None

    @classmethod
    def zeros(cls, problem: Problem, wanted: tuple[bool, bool, bool]) -> Gradients:
        """Sums before the first chunk."""
        tensors = (problem.hidden, problem.linear_weight, problem.linear_bias)
        made = [
            torch.zeros(tensor.shape, dtype=problem.dtype, device=tensor.device)
            if asked and tensor is not None
            else None
            for tensor, asked in zip(tensors, wanted, strict=True)
        ]
        return cls(hidden=made[0], linear_weight=made[1], linear_bias=made[2])

    def times(self, upstream: torch.Tensor, dtype: torch.dtype) -> tuple[torch.Tensor | None, ...]:
        """Each times ``upstream``, which may be overwritten with it, rounded once to ``dtype``."""
        found = (self.hidden, self.linear_weight, self.linear_bias)
        one = bool(upstream == 1.0)
        return tuple(None if g is None else (g if one else g.mul_(upstream)).to(dtype) for g in found)


def run(
    problem: Problem, scale: torch.Tensor | None, wanted: tuple[bool, bool, bool]
) -> tuple[torch.Tensor, Gradients]:
    """Losses of the counted rows, and the gradients wanted (of hidden, weight, bias), one chunk after another.

    Args:
        problem: what was called with.
        scale: what the gradient of each counted row is multiplied with; None where no gradient is wanted.
        wanted: of which tensors.
    """
    losses = torch.empty(problem.rows, dtype=problem.dtype, device=problem.hidden.device)
    sums = Gradients.zeros(problem, wanted)
    size = min(problem.chunk_rows, problem.rows)
    buffer = torch.empty(size, problem.linear_weight.shape[0], dtype=problem.dtype, device=problem.hidden.device)
    keep = 1.0 - problem.options.label_smoothing
    for start in range(0, problem.rows, max(1, size)):
        end = min(start + size, problem.rows)
        hidden = problem.hidden_of(start, end)
        logits = logits_of(hidden, problem.linear_weight, problem.linear_bias, buffer[: end - start])
        weights = problem.row_weight
        hard = logits.new_full((end - start,), keep) if weights is None else weights[start:end] * keep
        masses = Masses(index=problem.index[start:end], hard=hard, spread=problem.spread)
        losses[start:end], exponentials = losses_then_exponentials(logits, masses)
        if scale is not None and any(wanted):
            _add(problem, sums, into_gradient(logits, exponentials, masses, scale[start:end]), hidden, (start, end))
    return losses, sums


def _add(
    problem: Problem, sums: Gradients, grad_logits: torch.Tensor, hidden: torch.Tensor, rows: tuple[int, int]
) -> None:
    if sums.hidden is not None:
        found = times_weight(grad_logits, problem.linear_weight)
        if problem.counted is None:
            sums.hidden[rows[0] : rows[1]] = found
        else:
            sums.hidden.index_copy_(0, problem.counted[rows[0] : rows[1]], found)
    if sums.linear_weight is not None:
        add_outer(sums.linear_weight, grad_logits, hidden)
    if sums.linear_bias is not None:
        sums.linear_bias.add_(grad_logits.sum(0))


class LinearCrossEntropy(torch.autograd.Function):
    """``apply(hidden, linear_weight, target, linear_bias, weight, options)``."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, linear_weight: torch.Tensor, target: torch.Tensor,
        linear_bias: torch.Tensor | None, weight: torch.Tensor | None, options: Options,
    ) -> torch.Tensor:  # fmt: skip
        """The reduced loss, or one loss per row; with a scalar loss the gradients are made on the way."""
        problem = make_problem(hidden, linear_weight, target, linear_bias, weight, options)
        needed = ctx.needs_input_grad
        ctx.wanted, ctx.options, ctx.early = (needed[0], needed[1], needed[3]), options, None
        # saved beside the gradients: a second backward needs them, and autograd then notices their change
        ctx.save_for_backward(hidden, linear_weight, target, linear_bias, weight)
        if options.reduction == "none":
            losses, _ = run(problem, None, (False, False, False))
            found = losses
            if problem.counted is not None:
                found = losses.new_zeros(target.shape).index_copy_(0, problem.counted, losses)
            return found.to(hidden.dtype)
        divisor = problem.divisor()
        # in float64: a mean is finite where the float32 sum of its losses is not
        scale = _even(problem, 1.0, divisor)
        losses, early = run(problem, scale if any(ctx.wanted) else None, ctx.wanted)
        ctx.early = early if any(ctx.wanted) else None
        return (losses.sum(dtype=torch.float64) / divisor).to(hidden.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """The gradients made on the way forward, or, for ``none`` and a second backward, made now."""
        hidden, linear_weight, target, linear_bias, weight = ctx.saved_tensors
        # given away, not kept: a second backward must not change what the first one returned
        early, ctx.early = ctx.early, None
        upstream = grad_output.to(torch.float64 if hidden.dtype == torch.float64 else torch.float32)
        if early is None:
            problem = make_problem(hidden, linear_weight, target, linear_bias, weight, ctx.options)
            scale = _even(problem, 1.0, problem.divisor())
            if ctx.options.reduction == "none":
                scale = upstream if problem.counted is None else upstream.index_select(0, problem.counted)
                upstream = upstream.new_ones(())
            _, early = run(problem, scale, ctx.wanted)
        made = early.times(upstream, hidden.dtype)
        return made[0], made[1], None, made[2], None, None


def _even(problem: Problem, upstream: float, divisor: float) -> torch.Tensor:
    # a mean over nothing is 0/0, as with torch; there is then no row to scale
    scale = upstream / divisor if divisor else float("nan")
    return torch.full((problem.rows,), scale, dtype=problem.dtype, device=problem.hidden.device)
