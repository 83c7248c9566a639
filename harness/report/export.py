"""A run folder in one of the forms that ``report RUN --format`` offers."""

from __future__ import annotations

import importlib.util
import io
import json
import os
from collections.abc import Callable
from typing import Any

from harness.core.errors import UsageError
from harness.report.junit import report_junit
from harness.report.markdown import report_markdown
from harness.report.page import report_page
from harness.store import Run, read_run

FORMATS = ("html", "markdown", "csv", "json", "parquet", "junit")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def export(path: str | os.PathLike[str], format: str) -> str | bytes:
    """The run in ``path`` in one of ``FORMATS``, from its files alone: text, and bytes for parquet.

    csv, json and parquet hold the rows of the frame; json also the header and the notices, and writes numbers that
    were not measured as null and numbers that JSON lacks as "nan", "inf", "-inf".

    Raises:
        RunFolderError: no run folder, or it cannot be read.
        UsageError: no such format, or parquet without pyarrow.
    """
    if format not in FORMATS:
        raise UsageError(f"there is no report format {format!r}; allowed: {', '.join(FORMATS)}")
    run = read_run(path)
    writers: dict[str, Callable[[Run], str | bytes]] = {
        "html": report_page, "markdown": report_markdown, "csv": _csv, "json": _json, "parquet": _parquet,
        "junit": report_junit,
    }  # fmt: skip
    return writers[format](run)


def _parquet(run: Run) -> bytes:
    from harness.report.frame import frame_of

    if importlib.util.find_spec("pyarrow") is None:
        raise UsageError("--format parquet needs pyarrow, which is not installed: pip install 'loss-harness[parquet]'")
    stream = io.BytesIO()
    frame_of([run]).to_parquet(stream, engine="pyarrow", index=False)
    return stream.getvalue()


def _csv(run: Run) -> str:
    from harness.report.frame import frame_of

    frame = frame_of([run])
    for name in frame.columns:
        if frame[name].dtype.kind == "O" or frame[name].dtype.name in ("category", "str", "object"):
            # a spreadsheet runs what begins like a formula; the names and reasons of strangers must not
            frame[name] = [f"'{value}" if str(value).startswith(_FORMULA) else value for value in frame[name]]
    return str(frame.to_csv(index=False, lineterminator="\n"))


def _json(run: Run) -> str:
    from harness.report.frame import frame_of

    frame = frame_of([run])
    names = list(frame.columns)
    columns = [
        [
            None if missing else _plain(value)
            for value, missing in zip(frame[name].tolist(), frame[name].isna(), strict=True)
        ]
        for name in names
    ]
    rows = [
        json.dumps(dict(zip(names, values, strict=True)), ensure_ascii=False) for values in zip(*columns, strict=True)
    ]
    head = json.dumps(
        {"run_id": run.run_id, "header": dict(run.header), "notices": frame.attrs["notices"]}, ensure_ascii=False
    )
    return head[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}\n"  # one row per line


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, float) and value in (float("inf"), float("-inf")) else value
