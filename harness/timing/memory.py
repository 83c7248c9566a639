"""Peak memory above the inputs, as the allocator saw it: torch's CPU allocator by its profiler, CUDA by its counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness.core.case import Case


def measure_memory(function: Callable[[Any, Any], Any], case: Case, inputs: Any) -> dict[str, int]:
    """Bytes of one call of ``function`` under the case's pass, above what was allocated before it.

    Returns:
        ``peak_bytes``, the most allocated at any moment, the results included; ``saved_bytes``, what stays allocated
        between forward and backward, the loss included (only where the pass keeps a graph).
    """
    if case.device.startswith("cuda"):
        return _cuda(function, case, inputs)
    return _cpu(function, case, inputs)


def _forward(function: Callable[[Any, Any], Any], case: Case, inputs: Any) -> tuple[Any, Any]:
    if case.pass_ == "forward_no_grad":
        with torch.no_grad():
            return function(inputs.logits, inputs.target), None
    logits = inputs.logits.detach().requires_grad_()
    return function(logits, inputs.target), logits


def _backward(loss: Any, logits: Any, case: Case, inputs: Any) -> Any:
    if not case.needs_gradient:
        return None
    return torch.autograd.grad(loss, logits, inputs.grad_output.to(loss.dtype))


def _cuda(function: Callable[[Any, Any], Any], case: Case, inputs: Any) -> dict[str, int]:
    device = inputs.logits.device
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    loss, logits = _forward(function, case, inputs)
    torch.cuda.synchronize(device)
    kept = torch.cuda.memory_allocated(device) - before
    gradient = _backward(loss, logits, case, inputs)
    torch.cuda.synchronize(device)
    peak = torch.cuda.max_memory_allocated(device) - before
    del gradient, loss
    return {"peak_bytes": peak, "saved_bytes": kept if logits is not None else 0}


def _cpu(function: Callable[[Any, Any], Any], case: Case, inputs: Any) -> dict[str, int]:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        loss, logits = _forward(function, case, inputs)
        marker = torch.empty(_MARKER_BYTES, dtype=torch.uint8)
        del marker
        gradient = _backward(loss, logits, case, inputs)
        del gradient, loss
    events = sorted(
        (event.start_ns(), event.nbytes()) for event in recorded.profiler.kineto_results.events() if event.name() == "[memory]"
    )
    current = peak = saved = 0
    for _, size in events:
        if size == _MARKER_BYTES:
            saved = current
        if abs(size) != _MARKER_BYTES:
            current += size
            peak = max(peak, current)
    return {"peak_bytes": peak, "saved_bytes": saved if logits is not None else 0}


#: A size that no loss allocates by chance: it marks the end of the forward in the stream of allocations.
_MARKER_BYTES = 1_234_567
