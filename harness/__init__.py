"""loss-harness: which implementations of a loss are right, stay right, are fastest here, and need least memory.

``implementation`` declares a plugin, ``loss`` a loss of one's own; ``load`` reads runs into a pandas frame, and
``speedup``, ``accuracy``, ``compare`` and ``choose`` make short ones of it; ``samples`` reads raw samples. Nothing here
imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.registry.declare import implementation
from harness.registry.own import loss

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from harness.report.choose import Choice

__all__ = ["__version__", "accuracy", "choose", "compare", "implementation", "load", "loss", "samples", "speedup"]
__version__ = "0.1.0"


def load(path: str | Path | Sequence[str | Path]) -> pd.DataFrame:
    """Runs as one tidy frame, one row per run, cell and implementation; ``docs/columns.md`` lists the columns.

    Args:
        path: a run folder, a glob of run folders, or a list of either.

    Raises:
        harness.core.errors.RunFolderError: no run is there, or one cannot be read.
    """
    from harness.report.frame import load as load_frame

    return load_frame(path)


def samples(path: str | Path, cell: str | None = None) -> pd.DataFrame:
    """The raw samples of one run folder: one row per sample, ``ns`` nanoseconds of one call.

    Args:
        path: a run folder.
        cell: read this cell only.

    Raises:
        harness.core.errors.RunFolderError: no run is there, or it cannot be read.
    """
    from harness.report.analysis import samples_frame

    return samples_frame(path, cell)


def speedup(frame: pd.DataFrame) -> pd.DataFrame:
    """Speedup over the baseline: one row per cell, one column per implementation, beside the baseline's own time."""
    from harness.report.analysis import speedup as make

    return make(frame)


def accuracy(frame: pd.DataFrame) -> pd.DataFrame:
    """The worst answer of each implementation and dtype, in ulp and against its budget, with the grade earned."""
    from harness.report.analysis import accuracy as make

    return make(frame)


def compare(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """What got wrong, slower, faster, right or stayed as it was from ``old`` to ``new``, what matters most first."""
    from harness.report.compare import compare as make

    return make(old, new)


def choose(
    frame: pd.DataFrame, *, max_memory_bytes: int | None = None, max_ulp: float | None = None, pass_: str | None = None
) -> Choice:
    """Winners per shape under limits, crossovers, Pareto sets and the largest batch that fits, each as a frame."""
    from harness.report.choose import choose as make

    return make(frame, max_memory_bytes=max_memory_bytes, max_ulp=max_ulp, pass_=pass_)
