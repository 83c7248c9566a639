"""Memory layouts: tensors of the asked strides, whose gaps hold NaN so that reading them shows."""

from __future__ import annotations

import torch

#: Vocabularies are padded to multiples of this by trainers.
PADDING = 64


def allocate(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, layout: str) -> torch.Tensor:
    """An uninitialised tensor of ``shape`` (N, C, d1, …) whose strides are those of ``layout``.

    Raises:
        ValueError: ``layout`` is none of :data:`harness.inputs.catalogue.LAYOUTS`.
    """
    batch, classes, *dims = shape
    if layout == "contiguous":
        return torch.empty(shape, dtype=dtype, device=device)
    if layout == "padded":
        storage = torch.empty((batch, (classes // PADDING + 1) * PADDING, *dims), dtype=dtype, device=device)
        storage[:, classes:] = float("nan")
        return storage[:, :classes]
    if layout == "transposed":
        if not dims:
            return torch.empty((classes, batch), dtype=dtype, device=device).t()
        return torch.empty((batch, *dims, classes), dtype=dtype, device=device).movedim(-1, 1)
    if layout == "sliced":
        storage = torch.empty((2 * batch, classes, *dims), dtype=dtype, device=device)
        storage[1::2] = float("nan")
        return storage[::2]
    raise ValueError(f"unknown layout {layout!r}")


def lay_out_index(target: torch.Tensor, layout: str, classes: int) -> torch.Tensor:
    """The index target (N, d1, …) in ``layout``: only ``sliced`` changes it.

    Indices have no NaN: the rows between hold the next class, so that reading them gives a wrong answer and never an
    access out of bounds.
    """
    if layout != "sliced":
        return target
    between = (target.clamp(min=0) + 1) % classes
    return torch.stack((target, between), dim=1).flatten(0, 1)[::2]


def class_last(tensor: torch.Tensor) -> torch.Tensor:
    """View of (N, C, d1, …) as (N, d1, …, C)."""
    return tensor.movedim(1, -1)
