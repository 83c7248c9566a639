"""Runs every interpreted check of fused_triton, prints one JSON object; needs TRITON_INTERPRET=1 before any import."""

from __future__ import annotations

import json
import sys
import traceback

import torch

from tests.implementations import (  # they register
    fused_triton_agreement,  # noqa: F401
    fused_triton_edges,  # noqa: F401
    fused_triton_modes,  # noqa: F401
)
from tests.implementations.fused_triton_tools import CHECKS, IMPLEMENTATION

__all__ = ["CHECKS", "IMPLEMENTATION"]


def main() -> None:
    torch.set_num_threads(1)
    results = {}
    for name, function in CHECKS.items():
        torch.manual_seed(0)
        try:
            function()
            results[name] = None
        except Exception:
            results[name] = traceback.format_exc()
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
