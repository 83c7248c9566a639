"""Implementations ready to be sampled: loaded, compiled, called once, and the inputs that they go round."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch

from harness.core.case import Case
from harness.core.compiling import compile_key
from harness.core.implementation import Implementation
from harness.losses.catalogue import families, family_of
from harness.losses.inputs import build_inputs
from harness.registry.load import load_callable
from harness.timing.arm import Arm, Function
from harness.timing.compiled import (
    compiled_graphs,
    fresh_compile,
    is_recompile_limit,
    recompile_limit,
    refuse_eager,
)
from harness.timing.ring import Ring, make_ring
from harness.timing.witness import Witness
from harness.worker.candidate import Candidate, CandidateError

#: A first call longer than this is not repeated for its own sake.
_LONG_NS = 50_000_000


@dataclass(slots=True)
class Ready:
    """One implementation ready to be sampled, and what its first calls here showed.

    ``sampled_graphs`` counts graphs that were compiled while it was sampled: there should be none. ``witness`` keeps
    results of its samples; which ones, no seed of the cell tells.
    """

    arm: Arm
    function: Function
    figures: dict[str, Any] = field(default_factory=dict)
    sampled_graphs: int = 0
    witness: Witness = field(default_factory=lambda: Witness(seed=random.SystemRandom().getrandbits(64)))


@lru_cache(maxsize=1)
def _loaded() -> dict[str, Candidate]:
    return {}


@lru_cache(maxsize=1)
def _kept() -> dict[str, tuple[Any, Ring]]:
    return {}


@lru_cache(maxsize=1)
def _compiled() -> list[str]:
    return [""]


@lru_cache(maxsize=1)
def _freeze() -> None:
    """Take what torch and the plugins made at import out of the collector's sight: looking at it took 0.16 s a cell."""
    gc.collect()
    gc.freeze()


def collect_garbage() -> None:
    """Collect before samples, so that none is due while they run."""
    _freeze()
    gc.collect()


def start_compile(case: Case) -> None:
    """Forget compiled graphs where ``case`` needs others than the cell before."""
    if _compiled()[0] != compile_key(case):
        fresh_compile()
        _compiled()[0] = compile_key(case)


def inputs_of(case: Case, job: Mapping[str, Any]) -> tuple[Any, Ring]:
    """Inputs and their ring; those of the cell before are used again where it differed in its pass alone."""
    kept, key = _kept(), f"{case.inputs_key} {job['cache']}"
    if key not in kept:
        kept.clear()
        inputs = build_inputs(case)
        trained, cache_bytes = family_of(case.loss).gradients(case)[1:], _cache_bytes(case, job)
        kept[key] = (
            inputs,
            make_ring(inputs, cache=job["cache"], cache_bytes=cache_bytes, requires_grad=False, trained=trained),
        )
    inputs, ring = kept[key]
    return inputs, ring.requiring_grad(case.pass_ != "forward_no_grad")


class RecompileLimitError(Exception):
    """torch.compile gave up: from here on eager code would run under the compiled name."""

    def __init__(self) -> None:
        super().__init__(
            f"torch.compile met its limit of {recompile_limit()} graphs for one function, beyond which torch silently "
            "runs it eagerly; compile for fixed shapes, or with fewer of them"
        )


def make_ready(description: Implementation, case: Case, inputs: Any, ring: Ring, *, cuda_graph: bool = False) -> Ready:
    """The arm of one implementation, called so that nothing is compiled inside a sample.

    Twice, unless one call took long and compiled nothing: the sampler warms it up before its first round anyway. With
    ``cuda_graph`` its calls on CUDA are then recorded, and replayed from there on.

    Raises:
        CandidateError: it raised.
        RecompileLimitError: torch.compile gave up.
        NoGraphError: its calls cannot be recorded.
    """
    function = _candidate(description, case).function(case, inputs)
    arm = Arm(function, case, ring, inputs.grad_output)
    refuse_eager()
    index, graphs, started = ring.turn.at, compiled_graphs(), time.perf_counter_ns()
    try:
        arm(1)
        first_ns = time.perf_counter_ns() - started
        refuse_eager()
        if not ring.intact(index):
            ring.restore(index)
            arm = Arm(function, case, ring, inputs.grad_output, mutates=True)
        if first_ns < _LONG_NS or compiled_graphs() > graphs:
            arm(1)
    except BaseException as error:  # strangers' code
        if is_recompile_limit(error):
            raise RecompileLimitError from None
        raise CandidateError(error) from None
    arm.meter.forget()
    graphs = compiled_graphs() - graphs
    if graphs >= recompile_limit():
        raise RecompileLimitError
    if cuda_graph and case.device.startswith("cuda"):
        arm.record()
    figures = {"compiled_graphs": graphs, "first_timed_call_ns": first_ns, "writes_inputs": arm.mutates}
    return Ready(arm=arm, function=function, figures=figures)


def _candidate(description: Implementation, case: Case) -> Candidate:
    loaded, key = _loaded(), f"{description.reference}:{description.name}"
    if key not in loaded:
        try:
            target = load_callable(description)
        except BaseException as error:  # strangers' code
            raise CandidateError(error) from None
        loaded[key] = Candidate(description=description, target=target, family=families()[case.loss])
    return loaded[key]


def release(case: Case) -> None:
    """Hand device memory back: the process of the other half needs it."""
    if case.device.startswith("cuda"):
        _kept().clear()
        torch.cuda.empty_cache()


def _cache_bytes(case: Case, job: Mapping[str, Any]) -> int:
    if case.device.startswith("cuda"):
        return int(getattr(torch.cuda.get_device_properties(case.device), "L2_cache_size", 0)) or job["cache_bytes"]
    return job["cache_bytes"]
