"""loss-harness: which implementations of a loss are right, stay right, are fastest here, and need least memory.

``implementation`` declares a plugin; ``load`` reads runs into a pandas frame. Nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.registry.declare import implementation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

__all__ = ["__version__", "implementation", "load"]
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
