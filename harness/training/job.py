"""The worker's side of training: the reference runs of a setup, or one candidate's run, written to a file."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from harness.core.case import case_from_dict
from harness.core.implementation import implementation_from_dict
from harness.losses.catalogue import families
from harness.registry.call import bind, call_options
from harness.registry.load import load_callable
from harness.timing.compiled import refuse_eager
from harness.training.data import Data, data_of
from harness.training.loop import Loss, Trace, bound_to, one_step, run_training
from harness.training.names import BASELINE, FLOAT64
from harness.training.nets import net_of
from harness.training.reference import Capture, deviations, oracle_loss
from harness.training.setup import Setup
from harness.worker.candidate import CandidateError
from harness.worker.child import Say


def train_reference(job: Mapping[str, Any], say: Say) -> None:
    """All reference runs of one setup into one file: baseline (whole batches), float64, perturbed and planted."""
    setup = Setup(**job["setup"])
    torch.set_num_threads(1)
    data = data_of(setup)
    capture = Capture(len(data.whole)) if job.get("capture") else None
    arrays: dict[str, np.ndarray] = {}
    for deviation in deviations():
        say({"stage": f"reference run {deviation.name} of {setup.workload}"})
        base = deviation.name == BASELINE
        loss = oracle_loss(deviation)
        # the baseline takes whole batches: what accumulation rounds differently belongs to what rounding explains
        trace = run_training(
            setup, data, net_of(setup), loss, whole=base, met=capture if base else None, beat=_beat(setup, say)
        )
        arrays |= {f"{deviation.name}.{name}": value for name, value in trace.arrays().items()}
        if base:
            wide = run_training(setup, data, net_of(setup), loss, whole=True, dtype=torch.float64)
            arrays |= {f"{FLOAT64}.{name}": value for name, value in wide.arrays().items()}
    np.savez(job["out"], **arrays)
    if capture is not None:
        np.savez(job["capture"], **capture.arrays())
    say({"trained": True})


def train(job: Mapping[str, Any], say: Say) -> None:
    """One candidate's run into a file, with its peak memory; what it raises is told with its step."""
    setup, case = Setup(**job["setup"]), case_from_dict(job["case"])
    implementation = implementation_from_dict(job["implementation"])
    torch.set_num_threads(1)
    at = {"step": 0}
    culprit = {"culprit": implementation.name, "cell": case.cell}
    try:
        say({"stage": f"import of {implementation.reference}", **culprit})
        family = families()[case.loss]
        options = call_options(implementation, case, family, {"weight": None})
        loss = bound_to(bind(load_callable(implementation), options, family, {}))
        data, net = data_of(setup), net_of(setup)

        def beat(step: int) -> None:
            at["step"] = step
            refuse_eager()
            say({"stage": f"training step {step} of {setup.workload}", **culprit})

        trace = run_training(setup, data, net, loss, beat=beat)
        at["step"] = len(trace.losses)
        peak = _peak_bytes(setup, data, loss)
    except BaseException as error:  # strangers' code: SystemExit is its own as well
        told = CandidateError(error)
        reason = f"{told.reason} (step {at['step']})"
        say({"status": told.status.value, "reason": reason, "traceback": traceback.format_exc()[-6000:]})
        return
    np.savez(job["out"], **trace.arrays())
    say({"trained": True, "peak_bytes": peak, **_times(setup, trace)})


def _times(setup: Setup, trace: Trace) -> dict[str, float]:
    """Median step without the first, which may compile; examples per second from it; the first step."""
    later = trace.step_ns[1:] or trace.step_ns
    step_ns = float(np.median(later))
    return {"step_ns": step_ns, "first_step_ns": trace.step_ns[0], "examples_per_s": setup.batch / step_ns * 1e9}


def _beat(setup: Setup, say: Say) -> Callable[[int], None]:
    def beat(step: int) -> None:
        if step % 16 == 0:
            say({"stage": f"reference step {step} of {setup.workload}"})

    return beat


def _peak_bytes(setup: Setup, data: Data, loss: Loss) -> int:
    """Most bytes allocated at any moment of one step, network and inputs not counted (CPU: torch's allocator)."""
    net = net_of(setup).train()
    if setup.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(setup.device)
        before = torch.cuda.memory_allocated(setup.device)
        one_step(net, data.steps[0], loss, torch.float32)
        return torch.cuda.max_memory_allocated(setup.device) - before
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        one_step(net, data.steps[0], loss, torch.float32)
    events = recorded.profiler.kineto_results.events()  # pyright: ignore[reportOptionalMemberAccess]
    sizes = sorted((event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]")
    current = peak = 0
    for _, size in sizes:
        current += size
        peak = max(peak, current)
    return peak
