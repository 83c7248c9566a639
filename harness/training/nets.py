"""The network of each workload, with weights that follow from the seed alone. Imports torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.training.data import SIDE
from harness.training.setup import LONGEST, Setup

_WIDTH, _HEADS = 32, 2


class CausalModel(nn.Module):
    """One block of causal attention over characters: (batch, length) indices to (batch·length, classes) logits."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.letters, self.places = nn.Embedding(classes, _WIDTH), nn.Embedding(LONGEST, _WIDTH)
        self.before, self.after = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.queries_keys_values, self.joined = nn.Linear(_WIDTH, 3 * _WIDTH), nn.Linear(_WIDTH, _WIDTH)
        self.wide, self.narrow = nn.Linear(_WIDTH, 4 * _WIDTH), nn.Linear(4 * _WIDTH, _WIDTH)
        self.logits = nn.Linear(_WIDTH, classes)

    def forward(self, codes: Tensor) -> Tensor:
        """Logits of every place, flattened to rows."""
        batch, length = codes.shape
        x = self.letters(codes) + self.places(torch.arange(length, device=codes.device))
        heads = self.queries_keys_values(self.before(x)).view(batch, length, 3, _HEADS, _WIDTH // _HEADS)
        query, key, value = heads.permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.joined(seen.transpose(1, 2).reshape(batch, length, _WIDTH))
        x = x + self.narrow(F.gelu(self.wide(self.after(x))))
        return self.logits(x).flatten(0, 1)


def _digits(setup: Setup) -> nn.Module:
    return nn.Sequential(nn.Linear(784 if setup.folder else 64, 100), nn.ReLU(), nn.Linear(100, setup.classes))


def _images(setup: Setup) -> nn.Module:
    side = SIDE // 4
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(16 * side * side, setup.classes),
    )  # fmt: skip


def _resnet18(setup: Setup) -> nn.Module:
    import timm  # pyright: ignore[reportMissingImports]

    created: Any = timm.create_model("resnet18", pretrained=False, num_classes=setup.classes)
    return created


_NETS: dict[str, Callable[[Setup], nn.Module]] = {
    "linear": lambda setup: nn.Linear(10, setup.classes),
    "digits": _digits,
    "images": _images,
    "language_model": lambda setup: CausalModel(setup.classes),
    "resnet18": _resnet18,
}


def net_of(setup: Setup) -> nn.Module:
    """The network of ``setup``, float32, on its device."""
    torch.manual_seed(setup.seed)
    return _NETS[setup.workload](setup).to(setup.device)
