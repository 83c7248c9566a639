"""Time jobs: all rivals that passed a cell, in one process, in interleaved rounds on the same inputs."""

from __future__ import annotations

import gc
import mmap
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from harness.core.case import Case, case_from_dict
from harness.core.implementation import Implementation, implementation_from_dict
from harness.inputs.build import build_inputs
from harness.losses.catalogue import families
from harness.registry.load import load_callable
from harness.stats.interval import RatioSummary
from harness.timing.arm import make_arm
from harness.timing.compiled import compile_key, fresh_compile
from harness.timing.ring import Ring, make_ring
from harness.timing.sampler import Samples, SamplerSettings, ratio, sample_arms
from harness.worker.candidate import Candidate, CandidateError
from harness.worker.child import Say


@lru_cache(maxsize=1)
def _loaded() -> dict[str, Candidate]:
    return {}


@lru_cache(maxsize=1)
def _compiled() -> list[str]:
    return [""]


def time_cell(job: Mapping[str, Any], say: Say) -> None:
    """Sample every implementation of the job on one cell; sends the samples and one summary for each."""
    case = case_from_dict(job["case"])
    torch.set_num_threads(job["threads"])
    started = time.perf_counter()
    say({"stage": "making inputs", "culprit": ""})
    if _compiled()[0] != compile_key(case):
        fresh_compile()
        _compiled()[0] = compile_key(case)
    inputs = build_inputs(case)
    ring = make_ring(
        inputs, cache=job["cache"], cache_bytes=_cache_bytes(case, job), requires_grad=case.pass_ != "forward_no_grad"
    )
    arms: dict[str, Callable[[int], int]] = {}
    for values in job["implementations"]:
        description = implementation_from_dict(values)
        say({"stage": f"first timed call of {description.name} on {case.cell}", "culprit": description.name})
        try:
            arms[description.name] = _ready(description, case, inputs, ring)
        except CandidateError as error:
            say({"arm": description.name, "status": error.status.value, "reason": error.reason, "traceback": error.traceback})
    if job["baseline"] not in arms:
        return
    prepared = time.perf_counter() - started
    samples = _sample(arms, case, job, say)
    say({"samples": {n: list(v) for n, v in samples.total_ns.items()}, "calls": dict(samples.calls), "rounds": samples.rounds})
    shared = {
        "cache": ring.cache, "cache_reason": ring.reason, "threads": job["threads"], "rounds": samples.rounds,
        "converged": samples.converged, "seconds": round(time.perf_counter() - started, 4),
        "sampled_seconds": round(samples.sampled_ns / 1e9, 4), "preparing_seconds": round(prepared, 4),
    }  # fmt: skip
    for name in arms:
        say({"arm": name, "metrics": {**shared, **_figures(samples, name, case, job)}})


def _ready(description: Implementation, case: Case, inputs: Any, ring: Ring) -> Callable[[int], int]:
    """The arm of one implementation, called once so that nothing is compiled inside a sample."""
    loaded = _loaded()
    key = f"{description.reference}:{description.name}"
    if key not in loaded:
        try:
            target = load_callable(description)
        except BaseException as error:  # strangers' code
            raise CandidateError(error) from None
        loaded[key] = Candidate(description=description, target=target, family=families()[case.loss])
    function = loaded[key].function(case, inputs)
    arm = make_arm(function, case, ring, inputs.grad_output)
    try:
        arm(1)
    except BaseException as error:  # strangers' code
        raise CandidateError(error) from None
    return arm


def _sample(arms: Mapping[str, Callable[[int], int]], case: Case, job: Mapping[str, Any], say: Say) -> Samples:
    """Sample with the collector off; the arm under way is written to shared memory, which costs no system call."""
    names = list(arms)
    settings = SamplerSettings(
        target_relative_width=job["target_relative_width"], max_seconds=job["max_seconds"], confidence=job["confidence"]
    )
    say({"stage": f"samples of {case.cell}", "culprit": "", "arms": names})
    with Path(job["mark"]).open("r+b") as file, mmap.mmap(file.fileno(), 1) as mark:

        def entering(name: str) -> None:
            mark[0] = names.index(name)

        gc.collect()
        gc.disable()
        try:
            return sample_arms(
                arms, job["baseline"], settings, seed=case.seed, now_ns=time.perf_counter_ns, entering=entering
            )
        finally:
            gc.enable()


def _cache_bytes(case: Case, job: Mapping[str, Any]) -> int:
    if case.device.startswith("cuda"):
        return int(getattr(torch.cuda.get_device_properties(case.device), "L2_cache_size", 0)) or job["cache_bytes"]
    return job["cache_bytes"]


def _figures(samples: Samples, name: str, case: Case, job: Mapping[str, Any]) -> dict[str, Any]:
    """Median, speedup with its interval, and the bandwidth of the least traffic, for one arm."""
    times = sorted(samples.per_call_ns(name))
    middle = len(times) // 2
    median = times[middle] if len(times) % 2 else (times[middle - 1] + times[middle]) / 2
    least = families()[case.loss].cost(case).total_bytes
    figures: dict[str, Any] = {
        "median_ns": round(median, 1), "calls_per_sample": samples.calls[name], "least_bytes": least,
        "bandwidth_bytes_per_s": round(least / median * 1e9), "baseline": job["baseline"],
    }  # fmt: skip
    if name == job["baseline"]:
        return {**figures, "speedup": 1.0, "speedup_low": 1.0, "speedup_high": 1.0, "verdict": "baseline"}
    return {**figures, **_ratio_figures(ratio(samples, job["baseline"], name, job["confidence"]))}


def _ratio_figures(summary: RatioSummary) -> dict[str, Any]:
    return {
        "speedup": float(f"{summary.speedup:.6g}"),
        "speedup_low": float(f"{summary.low:.6g}"),
        "speedup_high": float(f"{summary.high:.6g}"),
        "verdict": summary.verdict,
        "sigma": float(f"{summary.sigma:.4g}"),
        "detectable_slowdown": float(f"{summary.detectable:.4g}"),
    }
