"""``report``: a run's report again, from its files alone."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from harness.report.export import export
from harness.store.reading import resolve_run


def report(run: Path, report_format: str, out: Path | None, console: Console) -> int:
    """Write the report of ``run``; markdown, csv and json are printed unless ``out`` names a file."""
    text = export(run, report_format)
    if out is None and report_format == "html":
        out = resolve_run(run) / "report.html"
    if out is None:
        print(text)  # noqa: T201 - the console would wrap it
        return 0
    out.write_text(text, encoding="utf-8")
    console.print(f"wrote {out}", markup=False, highlight=False, soft_wrap=True)
    return 0
