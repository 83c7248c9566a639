"""Losses that a suite's own files declare must be known before the suite can be read: its axes are theirs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.losses.catalogue import families
from harness.registry.sources import is_reference
from harness.runner.survey import survey
from harness.suite.load import find_suite
from harness.suite.yaml_text import Document, read_document
from harness.worker.process import Workers


def know_losses(suite: Path | str, references: Sequence[str], workers: Workers, cwd: Path) -> None:
    """Ask a worker for the losses that the files of ``suite`` and ``references`` declare, where it needs any.

    A suite whose losses are all known starts no worker.
    """
    know_losses_of(read_document(find_suite(suite)), references, workers, cwd)


def know_losses_of(document: Document, references: Sequence[str], workers: Workers, cwd: Path) -> None:
    """As :func:`know_losses`, of a suite that is read already."""
    values = document.values
    entries = values.get("cases")
    wanted = {entry.get("loss") for entry in entries if isinstance(entry, dict)} if isinstance(entries, list) else set()
    if all(loss in families() for loss in wanted):
        return
    listed = values.get("implementations")
    named = [*(listed if isinstance(listed, list) else [listed]), values.get("baseline"), *references]
    survey(workers, [text for text in named if isinstance(text, str) and is_reference(text)], cwd)
