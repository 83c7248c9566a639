"""The inputs of a call as they were before it: what it wrote into is told, and put back for the next."""

from __future__ import annotations

from typing import Any

import torch

from harness.numerics.same import same_values


def restore(inputs: Any, pristine: Any) -> list[str]:
    """Give ``inputs`` the values of ``pristine`` again; the names of those that had others (NaN equals NaN)."""
    changed = []
    before = pristine.tensors()
    for name, tensor in inputs.tensors().items():
        if not same_values(tensor, before[name]):
            changed.append(name)
            with torch.no_grad():
                tensor.copy_(before[name])
    return changed
