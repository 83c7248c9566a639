"""Controls that make their gradient in unusual ways, or use threads and caches as an honest implementation may."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from harness.mutants._composed import composed, refuse_other_gradients, shifted, wide
from harness.mutants.declare import Call, control


def _loss(call: Call) -> Tensor:
    return composed(lambda rows: rows.log_softmax(1), call)


class _MadeInForward(torch.autograd.Function):
    """Loss and gradient in the forward; the backward scales it. Row losses scale row by row."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        with torch.enable_grad():
            own = wide(logits).detach().requires_grad_()
            loss = _loss(call._replace(logits=own))
            (gradient,) = torch.autograd.grad(loss, own, torch.ones_like(loss))
        # kept as wide as it was made: rounded to half precision here, it would be rounded twice
        ctx.save_for_backward(gradient)
        ctx.dtype = logits.dtype
        return loss.detach().to(logits.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        (gradient,) = ctx.saved_tensors
        upstream = grad_output if grad_output.dim() == 0 else grad_output.unsqueeze(1)
        return (gradient * upstream.to(gradient.dtype)).to(ctx.dtype), None


@control("loss and gradient are both made in the forward; a second derivative raises")
def gradient_made_in_forward(call: Call) -> Tensor:
    refuse_other_gradients(call.target, call.weight)
    if not (torch.is_grad_enabled() and call.logits.requires_grad):
        return _loss(call)
    return _MadeInForward.apply(call.logits, call)


class _Saved(torch.autograd.Function):
    """log-softmax of rows that saves probabilities instead of rows, with a backward that can be differentiated."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        logs = torch.log_softmax(rows, 1)
        ctx.save_for_backward(logs)
        return logs

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (logs,) = ctx.saved_tensors
        return grad_output - torch.exp(logs) * grad_output.sum(1, keepdim=True)


@control("saves its output and differentiates twice by composition")
def saved_output(call: Call) -> Tensor:
    return composed(_Saved.apply, call)


class _SavedProbabilities(torch.autograd.Function):
    """log-softmax of rows that saves the probabilities; first order only."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        logs = torch.log_softmax(rows, 1)
        ctx.save_for_backward(torch.exp(logs))
        return logs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (probabilities,) = ctx.saved_tensors
        return grad_output - probabilities * grad_output.sum(1, keepdim=True)


@control("saves the probabilities and forgets the logits; a second derivative raises")
def saved_probabilities(call: Call) -> Tensor:
    return composed(_SavedProbabilities.apply, call)


class _SavedLogits(torch.autograd.Function):
    """log-softmax that saves its input under autograd's guard, so that changing it before the backward raises."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return torch.log_softmax(rows, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        (rows,) = ctx.saved_tensors
        return grad_output - torch.softmax(rows, 1) * grad_output.sum(1, keepdim=True)


@control("saves the logits, and raises when they are changed before the backward")
def saved_logits(call: Call) -> Tensor:
    return composed(_SavedLogits.apply, call)


@control("differentiable to any order by plain composition of exp, sum and log")
def plain_composition(call: Call) -> Tensor:
    def log_probabilities(rows: Tensor) -> Tensor:
        moved = shifted(rows)
        return moved - torch.log(torch.exp(moved).sum(1, keepdim=True))

    return composed(log_probabilities, call)


@control("two threads do half of the rows each, and are joined before the call returns")
def two_joined_threads(call: Call) -> Tensor:
    enabled = torch.is_grad_enabled()

    def part(rows: Tensor) -> Tensor:
        with torch.set_grad_enabled(enabled):  # grad mode belongs to a thread
            return torch.log_softmax(rows, 1)

    def log_probabilities(rows: Tensor) -> Tensor:
        with ThreadPoolExecutor(2) as pool:
            return torch.cat(tuple(pool.map(part, rows.tensor_split(2))))

    return composed(log_probabilities, call)


@cache
def _compiled() -> Any:
    # this backend runs the captured graph as it stands: capturing is what is unusual here, generating code is slow
    return torch.compile(_captured, backend="eager", dynamic=True)


def _captured(rows: Tensor) -> Tensor:
    moved = rows - rows.detach().amax(1, keepdim=True)
    return moved - torch.log(torch.exp(moved).sum(1, keepdim=True))


@control("its inner function is captured by torch.compile", as_written=True, targets=("index",), dtypes=("float32",))
def compiled_inner_function(logits: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """A right loss of few options, for each set of which it is captured again."""
    call = Call(logits, target, reduction=reduction, ignore_index=-(10**9))
    return composed(lambda rows: _compiled()(rows) if rows.numel() else _captured(rows), call)


@control("gradients by torch.func, in the backward", targets=("index",))
def functional_gradient(call: Call) -> Tensor:
    refuse_other_gradients(call.target, call.weight)
    return _Functional.apply(call.logits, call)


class _Functional(torch.autograd.Function):
    """Saves its inputs and asks torch.func.vjp for the gradient of the logits."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, call: Call) -> Tensor:
        ctx.save_for_backward(logits, call.target, call.weight)
        ctx.call = call._replace(logits=None, target=None, weight=None)
        return _plain(call._replace(logits=logits))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Any:
        logits, target, weight = ctx.saved_tensors
        call = ctx.call._replace(target=target, weight=weight)
        _, pull_back = torch.func.vjp(lambda values: _plain(call._replace(logits=values)), logits)
        return pull_back(grad_output)[0], None


def _plain(call: Call) -> Tensor:
    """Without any branch on values, which torch.func cannot take; what ignored rows hold stays out of the gradient."""
    kind = torch.float64 if call.logits.dtype == torch.float64 else torch.float32
    blank = (call.target == call.ignore_index).unsqueeze(1)
    loss = torch.nn.functional.cross_entropy(
        torch.where(blank, 0, call.logits.to(kind)), call.target, None if call.weight is None else call.weight.to(kind),
        ignore_index=call.ignore_index, reduction=call.reduction, label_smoothing=call.label_smoothing,
    )  # fmt: skip
    return loss.to(call.logits.dtype)
