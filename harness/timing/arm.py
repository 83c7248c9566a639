"""One arm of a timed cell: an implementation under one pass, going round the ring, on the clock of its device."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

import torch

from harness.core.case import Case
from harness.timing.ring import Ring

Function = Callable[[Any, Any], Any]


def make_arm(function: Function, case: Case, ring: Ring, grad_output: torch.Tensor) -> Callable[[int], int]:
    """A callable that runs k calls of ``function`` under the case's pass and returns their elapsed ns.

    ``backward`` prepares a fresh forward for each call outside the clock (some kernels overwrite what they saved), so
    its sample is the sum of k clocked parts; the other passes are clocked once around all k calls.
    """
    position = _Position(len(ring.pairs))
    clock = _cuda_elapsed if case.device.startswith("cuda") else _host_elapsed
    call = _call(function, case, grad_output)
    if case.pass_ == "backward":

        def backward_arm(calls: int) -> int:
            total = 0
            for _ in range(calls):
                logits, target = ring.pairs[position.next()]
                loss = function(logits, target)
                total += clock(lambda loss=loss, logits=logits: _gradient(loss, logits, grad_output))
            return total

        return backward_arm

    def arm(calls: int) -> int:
        pairs = [ring.pairs[position.next()] for _ in range(calls)]

        def run() -> None:
            for logits, target in pairs:
                call(logits, target)

        return clock(run)

    return arm


class _Position:
    """Where an arm stands in the ring; it goes on from sample to sample, so that no sample begins warm."""

    def __init__(self, size: int) -> None:
        self._size, self._index = size, -1

    def next(self) -> int:
        self._index = (self._index + 1) % self._size
        return self._index


def _call(function: Function, case: Case, grad_output: torch.Tensor) -> Callable[[Any, Any], object]:
    if case.pass_ == "forward_backward":
        return lambda logits, target: _gradient(function(logits, target), logits, grad_output)
    if case.pass_ == "forward_no_grad":

        def no_grad(logits: Any, target: Any) -> object:
            with torch.no_grad():
                return function(logits, target)

        return no_grad
    return function


def _gradient(loss: torch.Tensor, logits: torch.Tensor, grad_output: torch.Tensor) -> object:
    upstream = grad_output if grad_output.dtype == loss.dtype else grad_output.to(loss.dtype)
    return torch.autograd.grad(loss, logits, upstream)


def _host_elapsed(run: Callable[[], object]) -> int:
    started = perf_counter_ns()
    run()
    return perf_counter_ns() - started


def _cuda_elapsed(run: Callable[[], object]) -> int:
    """Device time between two events; the whole device is waited for, so work on other streams counts too."""
    torch.cuda.synchronize()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    host = perf_counter_ns()
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    elapsed_host = perf_counter_ns() - host
    device = int(begin.elapsed_time(end) * 1e6)
    # work that the events did not see (another stream) still kept the device busy until the synchronisation
    return max(device, 1) if elapsed_host < 3 * device + 100_000 else elapsed_host
