"""The parent's side of a worker: start it, ask it, notice its death or silence, and end it."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from harness.core.errors import HarnessError
from harness.core.status import Status
from harness.registry.own import own_losses
from harness.worker.child import child_main

#: Imported once in the fork server, so that a worker starts with them in memory; none of them touches CUDA or triton.
PRELOAD = ("torch", "numpy", "harness.worker.judge", "harness.worker.describe")


class WorkerLostError(HarnessError):
    """A worker died, fell silent or spoke nonsense: ``status`` and ``reason`` say how, ``stage`` what it was doing,
    ``culprit`` and ``cell`` for whom, where it had said so.
    """

    def __init__(self, status: Status, reason: str, stage: str, culprit: str = "", cell: str = "") -> None:
        super().__init__(reason)
        self.status, self.reason, self.stage, self.culprit, self.cell = status, reason, stage, culprit, cell


class Worker(Protocol):
    """One worker: ``request`` yields its messages until the job is done, and raises WorkerLostError if it is lost."""

    def request(self, job: Mapping[str, Any], *, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Do ``job``, yielding messages; ``timeout_s`` is allowed between two."""
        ...

    def close(self) -> None:
        """End the worker."""
        ...


class Workers(Protocol):
    """Starts workers; the runner's only way to run strangers' code (a fake stands in for it in tests)."""

    def start(self, *, environment: Mapping[str, str], memory_bytes: int | None = None, fresh: bool = False) -> Worker:
        """Start a worker with ``environment`` set before it imports anything of its own."""
        ...


class ProcessWorkers:
    """Workers as processes of a fork server that has torch loaded.

    The fork server is started with passive OpenMP waiting, so that idle workers do not spin beside a busy one; a
    ``fresh`` worker (the one that times) is spawned anew with the user's own settings instead.
    """

    def __init__(self) -> None:
        self._server = multiprocessing.get_context("forkserver")
        self._server.set_forkserver_preload(list(PRELOAD))

    def start(self, *, environment: Mapping[str, str], memory_bytes: int | None = None, fresh: bool = False) -> Worker:
        """Start a worker with ``environment`` set before it imports anything of its own."""
        context = multiprocessing.get_context("spawn") if fresh else self._server
        added = {} if fresh else {"OMP_WAIT_POLICY": "PASSIVE"}
        with _environment(added):
            return ProcessWorker(context, {**environment}, memory_bytes)


class ProcessWorker:
    """A worker process with its own pipe, its output kept in a file, and its exit noticed at once."""

    def __init__(self, context: Any, environment: Mapping[str, str], memory_bytes: int | None) -> None:
        self._conn: Connection
        self._conn, theirs = context.Pipe()
        handle, log = tempfile.mkstemp(prefix="harness-worker-", suffix=".log")
        os.close(handle)
        self._log = Path(log)
        self._stage = "start"
        self._culprit = self._cell = ""
        self._killed_by_kernel = _oom_kills()
        settings = {"log": log, "environment": dict(environment), "memory_bytes": memory_bytes, "cwd": str(Path.cwd())}
        self._process = context.Process(target=child_main, args=(theirs, settings), daemon=True)
        self._process.start()
        # keep no copy of the child's end: its death must read as end-of-file here
        theirs.close()

    def request(self, job: Mapping[str, Any], *, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Send ``job`` and yield messages until the worker says it is done; ``timeout_s`` is allowed between two."""
        try:
            files = sorted({own.source for own in own_losses().values()})
            self._conn.send_bytes(json.dumps({**job, "loss_files": files} if files else job).encode())
        except (OSError, ValueError):
            raise self._lost() from None
        while True:
            message = self._receive(timeout_s)
            if "stage" in message:
                self._stage = message["stage"]
                self._culprit, self._cell = message.get("culprit", ""), message.get("cell", "")
            elif message.get("done"):
                return
            else:
                yield message

    def close(self) -> None:
        """End the worker and everything it started; its output file is removed."""
        self._kill()
        self._conn.close()
        self._log.unlink(missing_ok=True)

    def _receive(self, timeout_s: float) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        while True:
            ready = wait([self._conn, self._process.sentinel], timeout=max(0.0, deadline - time.monotonic()))
            if self._conn in ready or self._conn.poll(0):
                break
            if self._process.sentinel in ready:
                raise self._lost()
            if time.monotonic() >= deadline:
                self._kill()
                reason = f"gave no sign of life for {timeout_s:g} s in {self._stage}{self._tail()}"
                raise WorkerLostError(Status.TIMED_OUT, reason, self._stage, self._culprit, self._cell)
        try:
            message = json.loads(self._conn.recv_bytes())
        except EOFError:
            raise self._lost() from None
        except (OSError, ValueError) as error:
            self._kill()
            reason = f"the worker wrote something unreadable on its pipe ({error}) in {self._stage}"
            raise WorkerLostError(Status.CRASHED, reason, self._stage, self._culprit, self._cell) from None
        if not isinstance(message, dict):
            self._kill()
            raise WorkerLostError(
                Status.CRASHED, f"the worker spoke nonsense in {self._stage}", self._stage, self._culprit, self._cell
            )
        return message

    def _lost(self) -> WorkerLostError:
        self._process.join(timeout=5)
        code = self._process.exitcode
        self._kill()
        status = Status.CRASHED
        if code is not None and code < 0:
            name = signal.Signals(-code).name if -code in signal.Signals._value2member_map_ else f"signal {-code}"
            how = f"was ended by {name}"
            if name == "SIGKILL" and _oom_kills() > self._killed_by_kernel:
                status, how = Status.OUT_OF_MEMORY, "was ended by the kernel for want of memory (SIGKILL)"
        else:
            how = f"ended the process by itself with status {code}"
        return WorkerLostError(status, f"{how} in {self._stage}{self._tail()}", self._stage, self._culprit, self._cell)

    def _kill(self) -> None:
        pid = self._process.pid
        if pid is not None:
            # the child leads a group of its own, so what it started goes too
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.join(timeout=10)

    def _tail(self) -> str:
        """The end of what the worker printed, for the reason; empty when it printed nothing."""
        try:
            text = self._log.read_bytes()[-600:].decode("utf-8", "replace").strip()
        except OSError:
            return ""
        return f"; it printed: {text[-300:]}" if text else ""


@contextlib.contextmanager
def _environment(added: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that hold while a process is started, unless the user set them."""
    missing = {name: value for name, value in added.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _oom_kills(path: Path = Path("/proc/vmstat")) -> int:
    """How often the kernel has ended a process for want of memory since boot."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
