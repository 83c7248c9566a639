"""``fit``: the largest batch of one shape that fits into memory, for each implementation, found by trial."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from harness.core.case import Case
from harness.core.errors import NothingToRunError
from harness.core.implementation import Implementation
from harness.core.status import EXIT_AS_EXPECTED, EXIT_NOTHING_RAN
from harness.hardware.host import available_memory_bytes, usable_cores
from harness.losses.catalogue import families
from harness.registry.support import unsupported_reason
from harness.runner.build import MEMORY_SHARE
from harness.runner.fitting import Fitted, fit_batch
from harness.runner.plan import device_reason
from harness.runner.survey import survey
from harness.suite.sizes import format_bytes
from harness.worker.process import ProcessWorkers, Workers


def fit(
    references: Sequence[str], case: Case, *, limit_bytes: int | None, seconds: float, console: Console,
    workers: Workers | None = None,
) -> int:  # fmt: skip
    """Print one line for each implementation; returns 0, or 3 where none could be tried."""
    workers = workers or ProcessWorkers()
    found = survey(workers, tuple(references), Path.cwd())
    missing = device_reason(case.device, found.cuda)
    if missing is not None:
        raise NothingToRunError(missing)
    console.print(f"largest batch of {case.cell}", markup=False, highlight=False, soft_wrap=True)
    tried = 0
    for implementation in found.select(tuple(references)):
        reason = implementation.failed or implementation.unavailable
        reason = reason or unsupported_reason(implementation, case, families()[case.loss])
        text = f"not tried: {reason}"
        if reason is None:
            try:
                text, tried = _line(_fitted(implementation, case, limit_bytes, seconds, workers)), tried + 1
            except NothingToRunError as error:
                text = str(error)
        console.print(f"  {implementation.name}: {text}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_AS_EXPECTED if tried else EXIT_NOTHING_RAN


def _fitted(
    implementation: Implementation, case: Case, limit_bytes: int | None, seconds: float, workers: Workers
) -> Fitted:
    return fit_batch(
        implementation, case, limit_bytes=limit_bytes, default_bytes=int(available_memory_bytes() * MEMORY_SHARE),
        threads=usable_cores(), seconds=seconds, workers=workers,
    )  # fmt: skip


def _line(found: Fitted) -> str:
    fit = found.fit
    row, limit = format_bytes(round(found.per_row_bytes)), format_bytes(found.limit_bytes)
    if not fit.batch:
        return f"not one row fits into {limit} ({row} a row)"
    return f"{fit.batch:,} rows fit into {limit} ({row} a row: {fit.estimated:,} estimated; {fit.trials} trials)"
