"""Tell GitHub Actions of a run: the step summary and annotations, where the environment says that we run there."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.text import Text

from harness.report.github import annotations, step_summary
from harness.store import Run


def publish(run: Run, console: Console, environ: Mapping[str, str] = os.environ) -> None:
    """Append to ``$GITHUB_STEP_SUMMARY`` where it is set, and print annotations where ``$GITHUB_ACTIONS`` is true."""
    target = environ.get("GITHUB_STEP_SUMMARY")
    if target:
        with Path(target).open("a", encoding="utf-8", errors="replace") as stream:
            stream.write(step_summary(run))
    if environ.get("GITHUB_ACTIONS") == "true":
        for line in annotations(run):
            console.print(Text(line), soft_wrap=True)
