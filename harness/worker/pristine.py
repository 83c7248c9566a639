"""The inputs of a call as they were before it: what it wrote into is told, and put back for the next."""

from __future__ import annotations

from typing import Any

import torch

from harness.numerics.same import changed_names


def restore(inputs: Any, pristine: Any) -> list[str]:
    """Give ``inputs`` the values of ``pristine`` again; the names of those that had others (NaN equals NaN)."""
    now, before = inputs.tensors(), pristine.tensors()
    changed = changed_names(now, before)
    with torch.no_grad():
        for name in changed:
            now[name].copy_(before[name])
    return changed
