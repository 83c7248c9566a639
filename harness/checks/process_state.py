"""The state of a process that a call must leave as it found it: modes, seeds, threads, devices and numeric switches."""

from __future__ import annotations

import gc
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
import torch


def _of_cuda(read: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: read() if torch.cuda.is_initialized() else None


def flushes_denormals() -> bool:
    """Whether this thread's arithmetic gives 0 where a result is subnormal; torch tells nobody what it was set to.

    Without a tensor, which a default device that a candidate left behind would make without numbers.
    """
    return sys.float_info.min * 0.5 == 0.0


_READERS: Mapping[str, Callable[[], Any]] = MappingProxyType(
    {
        "grad mode": torch.is_grad_enabled,
        "inference mode": torch.is_inference_mode_enabled,
        "anomaly detection": torch.is_anomaly_enabled,
        "autocast on the CPU": lambda: (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "autocast on CUDA": lambda: (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")),
        "autocast's cache": torch.is_autocast_cache_enabled,
        "default dtype": torch.get_default_dtype,
        "default device": torch.get_default_device,
        "number of threads": torch.get_num_threads,
        "torch's random state": lambda: torch.random.get_rng_state().numpy().tobytes(),
        "CUDA's random state": _of_cuda(lambda: torch.cuda.get_rng_state().numpy().tobytes()),
        "Python's random state": random.getstate,
        "numpy's random state": lambda: (
            np.random.get_state()[1].tobytes() + bytes(str(np.random.get_state()[2]), "ascii")
        ),
        "numpy's error state": lambda: tuple(sorted(np.geterr().items())),
        "float32 precision of matrix products": torch.get_float32_matmul_precision,
        "TF32 of cuDNN": lambda: torch.backends.cudnn.allow_tf32,
        "cuDNN's benchmark": lambda: torch.backends.cudnn.benchmark,
        "cuDNN's determinism": lambda: torch.backends.cudnn.deterministic,
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled,
        "flushing of denormals": flushes_denormals,
        "current device": _of_cuda(torch.cuda.current_device),
        "current stream": _of_cuda(lambda: torch.cuda.current_stream().cuda_stream),
        "garbage collection": gc.isenabled,
        "trace and profile functions": lambda: (sys.gettrace(), sys.getprofile()),
        "working directory": os.getcwd,
    }
)


#: How those are put back that mislead whoever computes next in this process, a candidate or the oracle.
_WRITERS: Mapping[str, Callable[[Any], object]] = MappingProxyType(
    {
        "grad mode": torch.set_grad_enabled,
        "default dtype": torch.set_default_dtype,
        "number of threads": torch.set_num_threads,
        # a unit in the last place of 0 would be 0
        "flushing of denormals": torch.set_flush_denormal,
        "torch's random state": lambda kept: torch.random.set_rng_state(
            torch.from_numpy(np.frombuffer(kept, dtype=np.uint8).copy())
        ),
    }
)


@contextmanager
def restoring(changed: set[str]) -> Iterator[None]:
    """Put back what a stranger's code may have changed for everyone, and add its names to ``changed``."""
    before = {name: _READERS[name]() for name in _WRITERS}
    try:
        yield
    finally:
        for name, kept in before.items():
            if _READERS[name]() != kept:
                changed.add(name)
                _WRITERS[name](kept)


def keep_denormals(changed: set[str]) -> None:
    """Let this thread's arithmetic be IEEE 754's again before the oracle's, adding to ``changed`` if it was not.

    Checks call a candidate freely, too, and judge what it gave right afterwards.
    """
    if flushes_denormals():
        changed.add("flushing of denormals")
        torch.set_flush_denormal(False)


def process_state() -> Mapping[str, Any]:
    """What is read now, by name; things that this torch does not know are left out."""
    state: dict[str, Any] = {}
    for name, read in _READERS.items():
        try:
            state[name] = read()
        except (AttributeError, RuntimeError, OSError):
            continue
    return MappingProxyType(state)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What changed, in words."""
    return [
        f"{name} ({_shown(value)} → {_shown(after[name])})" if _short(value) else name
        for name, value in before.items()
        if name in after and after[name] != value
    ]


@contextmanager
def unusual_state() -> Iterator[None]:
    """Settings away from their defaults, so that putting a default back shows as a change; all are put back after."""
    default, threads, grad = torch.get_default_dtype(), torch.get_num_threads(), torch.is_grad_enabled()
    precision = torch.get_float32_matmul_precision()
    try:
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(threads % 2 + 1)
        torch.set_float32_matmul_precision("high" if precision != "high" else "highest")
        torch.set_grad_enabled(False)
        yield
    finally:
        torch.set_grad_enabled(grad)
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)
        torch.set_default_dtype(default)


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    """What ``torch.use_deterministic_algorithms`` asks for, without its warnings of what has none."""
    before, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warns)


def _short(value: Any) -> bool:
    return not isinstance(value, bytes) and len(str(value)) < 40


def _shown(value: Any) -> str:
    return str(value).removeprefix("torch.")
