"""Inputs laid into larger storages whose every byte, and whose autograd state, can be compared afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from harness.checks.probe import leaf
from harness.inputs.build import Inputs

#: Elements before and behind each tensor: a multiple of 64 bytes in every dtype, so that alignment is kept.
_GUARD = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """``inputs`` in guarded storages; ``logits`` is the leaf that requires grad, in the same memory as the inputs'."""

    inputs: Inputs
    logits: torch.Tensor
    storages: Mapping[str, torch.Tensor]
    bytes_before: Mapping[str, torch.Tensor]
    versions: Mapping[str, int]

    def changes(self) -> list[str]:
        """What is no longer as it was: bytes, version counters, and what autograd keeps on the inputs."""
        found = []
        tensors = self.inputs.tensors()
        for name, storage in self.storages.items():
            given = tensors[name]
            if not torch.equal(storage.view(torch.uint8), self.bytes_before[name]):
                inside = not torch.equal(_bytes(given.contiguous()), self._before(name, given))
                found.append(f"{name}" if inside else f"memory around {name} that is not its own")
            elif given._version != self.versions[name]:
                found.append(f"the version counter of {name}, which says it was written to")
        if self.logits.grad is not None:
            found.append("logits.grad, where a gradient was accumulated")
        target = self.inputs.target
        if not self.logits.requires_grad or (target is not None and target.requires_grad):
            found.append("requires_grad of an input")
        if self.logits.shape != self.inputs.logits.shape or self.logits.stride() != self.inputs.logits.stride():
            found.append("the shape or strides of logits")
        if self.logits._backward_hooks:
            found.append("the hooks of logits")
        return found

    def _before(self, name: str, given: torch.Tensor) -> torch.Tensor:
        whole = self.bytes_before[name].view(self.storages[name].dtype)
        return _bytes(whole.as_strided(given.shape, given.stride(), _GUARD).contiguous())

    @staticmethod
    def rebased(tensor: torch.Tensor, guard: int) -> tuple[torch.Tensor, torch.Tensor]:
        """A storage with ``guard`` elements on either side of a copy of ``tensor`` in its strides, and that copy."""
        spans = zip(tensor.shape, tensor.stride(), strict=True)
        extent = 1 + sum((size - 1) * stride for size, stride in spans) if tensor.numel() else 0
        fill = float("nan") if tensor.dtype.is_floating_point else 0
        storage = torch.full((extent + 2 * guard,), fill, dtype=tensor.dtype, device=tensor.device)
        view = storage.as_strided(tensor.shape, tensor.stride(), guard)
        view.copy_(tensor)
        return storage, view


def guard(inputs: Inputs) -> Guarded:
    """``inputs`` copied into guarded storages, NaN around the floating-point ones."""
    storages: dict[str, torch.Tensor] = {}
    views: dict[str, torch.Tensor] = {}
    for name, tensor in inputs.tensors().items():
        storages[name], views[name] = Guarded.rebased(tensor, _GUARD)
    copied = inputs.changed(views)
    return Guarded(
        inputs=copied, logits=leaf(copied.logits), storages=storages,
        bytes_before={name: storage.view(torch.uint8).clone() for name, storage in storages.items()},
        versions={name: view._version for name, view in views.items()},
    )  # fmt: skip


def _bytes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.reshape(-1).view(torch.uint8)
