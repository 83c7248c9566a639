"""The worker's side: put the process in order, then do jobs one by one and say what is about to be called."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from types import MappingProxyType
from typing import Any

#: Sends one message to the parent.
Say = Callable[[Mapping[str, Any]], None]

#: Name of a job → module and function of (job, say). Found by name, inside the worker: the parent imports this module,
#: and must import neither torch nor what stands above the worker in the layers.
JOBS: Mapping[str, str] = MappingProxyType(
    {
        "describe": "harness.worker.describe:describe",
        "device": "harness.worker.describe:describe_devices",
        "judge": "harness.worker.judge:judge",
        "observe": "harness.worker.observe:observe",
        "capture": "harness.worker.capture:capture",
        "capture_lost": "harness.worker.capture:capture_lost",
        "blindness": "harness.worker.blindness:blindness",
        "explain": "harness.worker.explain:explain",
        "time": "harness.worker.timer:time_cell",
        "machine": "harness.worker.machine:measure_machine",
        "fit": "harness.worker.fitting:probe_or_try",
        "claims": "harness.claims.job:answer",
        "train": "harness.training.job:train",
        "train_reference": "harness.training.job:train_reference",
    }
)

_PR_SET_PDEATHSIG = 1


def child_main(conn: Connection, settings: Mapping[str, Any]) -> None:
    """Entry point of a worker process: serve jobs from ``conn`` until it closes."""
    _arrange_process(settings)

    def say(message: Mapping[str, Any]) -> None:
        conn.send_bytes(json.dumps(message).encode())

    while True:
        try:
            job = json.loads(conn.recv_bytes())
        except (EOFError, OSError):
            # not sys.exit: a plugin's exit handlers must not get to hold the worker back
            os._exit(0)
        _serve(job, say)
        say({"done": True})


def _serve(job: Mapping[str, Any], say: Say) -> None:
    """Run one job; what escapes from it is our own fault and is told as such, with its traceback."""
    try:
        kind = job["job"]
        if kind not in ("describe", "device", "machine"):
            _know_losses(job.get("loss_files", ()))
        module, _, function = JOBS[kind].partition(":")
        getattr(importlib.import_module(module), function)(job, say)
    except Exception as error:
        say({"internal": f"{type(error).__name__}: {error}", "traceback": traceback.format_exc()})


def _know_losses(files: Sequence[str]) -> None:
    """Import the files that declare losses of the user's own, unless this process has."""
    if not files:
        return
    from harness.registry.load import load_source
    from harness.registry.own import own_losses
    from harness.registry.sources import Source

    known = {own.source for own in own_losses().values() if own.reference is not None}
    for file in files:
        if file not in known:
            load_source(Source(kind="file", target=file, origin="loss", text=file))


def _arrange_process(settings: Mapping[str, Any]) -> None:
    os.setsid()
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it ends its workers itself
    log = os.open(settings["log"], os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    sys.stdout, sys.stderr = os.fdopen(1, "w", 1, closefd=False), os.fdopen(2, "w", 1, closefd=False)
    faulthandler.enable(file=sys.stderr, all_threads=False)
    os.environ.update(settings["environment"])
    os.chdir(settings["cwd"])
    if settings["memory_bytes"]:
        _limit_memory(settings["memory_bytes"])


def _die_with_parent() -> None:
    """On Linux, have the kernel end this process with the fork server, which goes when the harness is killed."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _limit_memory(limit: int) -> None:
    """Make a too large allocation fail in this process, where it can be told, rather than have the kernel end one."""
    import resource

    with contextlib.suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        bounded = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (bounded, hard))
