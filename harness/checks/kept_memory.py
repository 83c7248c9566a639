"""Memory that stays behind when a call's results are gone, a part of ``side_effects``."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from harness.checks.evidence import Refusal
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.losses.inputs import build_inputs

_CALLS = 4


def kept_memory(probe: Probe) -> Iterator[Verdict]:
    """One verdict: nothing accumulates over calls, and nothing as large as the logits outlives a call.

    A small table kept for a shape (say, indices of rows) is no fault; it shows in no second call of that shape.
    """
    small = replace(probe.evidence.case, batch=4, classes=8)
    large = replace(small, batch=32, classes=64)

    def measure() -> tuple[int, int, int]:
        # both are bound first: binding may start a compiler afresh, and what it keeps is not the calls' doing
        call_large, call_small = _bound(probe, large), _bound(probe, small)
        call_large(1)
        call_small(1)
        kept = _left_behind(lambda: call_large(1), large.device)
        return kept, *(_left_behind(lambda: call_large(_CALLS), large.device) for _ in range(2))

    gc.collect()
    gc.freeze()  # what is there now is not looked at again, which makes a collection a hundred times quicker
    try:
        found = attempt(measure)
    finally:
        gc.unfreeze()
    if isinstance(found, Refusal):
        yield probe.refused("memory", found)
        return
    kept, first, second = found
    logits_bytes = large.elements * getattr(torch, large.dtype).itemsize
    if first > 0 and second > 0:
        reason = f"every {_CALLS} calls leave {second} bytes more behind, their results dropped"
        yield probe.failed("memory", reason, "memory")
    elif kept >= logits_bytes - small.elements * getattr(torch, large.dtype).itemsize:
        reason = f"{kept} bytes outlive a call and its results; the logits have {logits_bytes}"
        yield probe.failed("memory", reason, "memory")
    else:
        yield probe.passed("memory", kept_bytes=max(kept, 0))


def _bound(probe: Probe, case: Case) -> Callable[[int], None]:
    """Calls with inputs and results of their own, all dropped."""
    function = probe.evidence.function(case, build_inputs(case))

    def run(calls: int) -> None:
        for _ in range(calls):
            inputs = build_inputs(case)
            logits = leaf(inputs.logits)
            gradients_of(function(logits, inputs.target), {"logits": logits}, inputs.grad_output)

    return run


def _left_behind(action: Callable[[], object], device: str) -> int:
    """Bytes allocated by torch during ``action`` that are still there after it, cycles collected."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        action()
        gc.collect()
        torch.cuda.synchronize(device)
        return torch.cuda.memory_allocated(device) - before
    # not torch.profiler, whose import of the compiler takes seconds
    from torch.autograd.profiler import profile

    with profile(use_kineto=True, profile_memory=True) as recorded:
        action()
        gc.collect()
    events = recorded.kineto_results.events()
    return sum(event.nbytes() for event in events if event.name() == "[memory]")
