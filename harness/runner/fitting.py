"""The largest batch that fits: estimated from a small call, then tried in workers that may run out of memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from harness.core.case import Case, case_to_dict
from harness.core.errors import NothingToRunError
from harness.core.implementation import Implementation, implementation_to_dict
from harness.timing.fit import Fit, largest_batch
from harness.worker.process import WorkerLostError, Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Fitted:
    """A fit, the bytes that a row takes (inputs and call), and the bytes that all had to fit into."""

    fit: Fit
    per_row_bytes: float
    limit_bytes: int


def fit_batch(
    implementation: Implementation, case: Case, *, limit_bytes: int | None, default_bytes: int, threads: int,
    seconds: float, workers: Workers,
) -> Fitted:  # fmt: skip
    """The largest batch on which one call of ``implementation`` under ``case`` does not run out of memory.

    Args:
        implementation: what is called.
        case: everything but the batch.
        limit_bytes: memory of the call, its inputs and (on the CPU) the process; None: what is free.
        default_bytes: what is free on the host.
        threads: torch threads.
        seconds: longest that one trial may take.
        workers: starts the processes that try.

    Raises:
        NothingToRunError: the call fails for another reason than memory.
    """
    on_host = not case.device.startswith("cuda")
    ask = _Asker(implementation, limit_bytes, threads, seconds, workers, on_host)
    probed = ask(case, True)
    if "per_row_bytes" not in probed:
        raise NothingToRunError(
            f"{implementation.name} on {case.cell}: {probed.get('raised', 'a few rows do not fit')}"
        )
    limit = limit_bytes or (default_bytes if on_host else int(probed["free_bytes"]))
    ask.limit_bytes = limit

    def fits(batch: int) -> bool:
        found = ask(replace(case, batch=batch), False)
        if "raised" in found:
            raise NothingToRunError(f"{implementation.name} on {batch} rows: {found['raised']}")
        return bool(found["fits"])

    def memory(batch: int) -> int:
        return int(probed["own_bytes"] + probed["per_row_bytes"] * batch)

    return Fitted(fit=largest_batch(memory, limit, fits), per_row_bytes=probed["per_row_bytes"], limit_bytes=limit)


@dataclass(slots=True)
class _Asker:
    """Asks a fresh worker each time: what an out-of-memory leaves behind must not count against the next trial."""

    implementation: Implementation
    limit_bytes: int | None
    threads: int
    seconds: float
    workers: Workers
    on_host: bool

    def __call__(self, case: Case, probe: bool) -> dict[str, Any]:
        job = {
            "job": "fit", "case": case_to_dict(case), "implementation": implementation_to_dict(self.implementation),
            "probe": probe, "threads": self.threads, "limit_bytes": self.limit_bytes,
        }  # fmt: skip
        worker = self.workers.start(environment={}, memory_bytes=self.limit_bytes if self.on_host else None)
        try:
            messages = list(worker.request(job, timeout_s=self.seconds))
        except WorkerLostError as lost:
            # the kernel ends a process that takes more than there is; so does a library that cannot allocate
            return {"fits": False} if lost.status.value != "timed_out" else {"raised": lost.reason}
        finally:
            worker.close()
        return messages[-1] if messages else {"raised": "the worker gave no answer"}
