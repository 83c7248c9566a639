"""The results folder of a run: written as outcomes happen, survives a kill, resumed, and read back.

``run.json`` (header), ``cells.jsonl`` (one outcome per line), ``samples.jsonl.gz`` (raw samples), ``report.html`` and
``report.md``. Standard library and ``harness.core`` only.
"""

from harness.store.folder import RunFolder
from harness.store.reading import Run, read_header, read_run, resolve_run
from harness.store.samples import Samples, read_samples

__all__ = ["Run", "RunFolder", "Samples", "read_header", "read_run", "read_samples", "resolve_run"]
