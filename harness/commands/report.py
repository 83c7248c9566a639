"""``report``: a run's report again, from its files alone."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.commands.github import publish
from harness.core.errors import UsageError
from harness.report.export import export
from harness.store import read_run
from harness.store.files import write_atomically
from harness.store.reading import resolve_run

#: Formats that go into the run folder unless ``--out`` says otherwise; the others are printed.
_KEPT = {"html": "report.html", "parquet": "cells.parquet"}


def report(run: Path, report_format: str, out: Path | None, console: Console) -> int:
    """Write the report of ``run``; html and parquet go into its folder, the rest is printed, unless ``out`` is given.

    Raises:
        UsageError: ``out`` cannot be written.
        RunFolderError: the run cannot be read, or its folder not be written to.
    """
    content = export(run, report_format)
    publish(read_run(run), console)
    if out is None and report_format not in _KEPT:
        print(content if isinstance(content, str) else "")  # noqa: T201 - the console would wrap it
        return 0
    written = content.encode("utf-8", "replace") if isinstance(content, str) else content
    if out is None:
        # a link of this name in a stranger's folder is replaced, never followed
        out = resolve_run(run) / _KEPT[report_format]
        write_atomically(out, written)
    else:
        _write(out, written)
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
    return 0


def _write(out: Path, content: bytes) -> None:
    try:
        out.write_bytes(content)
    except OSError as error:
        raise UsageError(f"--out {out}: cannot be written: {error.strerror}") from None
