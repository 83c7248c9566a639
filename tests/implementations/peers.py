"""Stand-ins for packages that need a GPU: the signatures of their losses as released, with torch behind them.

What an adapter hands over must fit the signature, name for name; the source of each is told in the adapter's file.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F


def quack_cross_entropy(
    x, target, lse_partial=None, weight=None, ignore_index=-100, reduction="mean", inplace_backward=False
):
    assert lse_partial is None
    assert not inplace_backward
    return F.cross_entropy(x.float(), target, weight=weight, ignore_index=ignore_index, reduction=reduction)


def quack_chunked(
    x, weight, target, chunk_size=4096, ignore_index=-100, reduction="mean", tuned=True, use_scaled_exp=None
):
    if reduction not in ("mean", "sum"):
        raise ValueError(f"Invalid reduction: {reduction}")
    return F.cross_entropy(F.linear(x, weight).float(), target, ignore_index=ignore_index, reduction=reduction)


def cut_linear_cross_entropy(
    e, c, targets, ignore_index=-100, softcap=None, reduction="mean", shift=False, filter_eps="high", impl="cce"
):
    assert softcap is None
    assert not shift
    assert filter_eps in ("high", None)
    assert impl == "cce"
    return F.cross_entropy(F.linear(e, c).float(), targets, ignore_index=ignore_index, reduction=reduction)


class FlashLoss(torch.nn.Module):
    def __init__(
        self, ignore_index=-100, reduction="mean", label_smoothing=0.0, logit_scale=1.0, lse_square_scale=0.0,
        inplace_backward=False, process_group=None,
    ):  # fmt: skip
        super().__init__()
        self.options = {"ignore_index": ignore_index, "reduction": reduction, "label_smoothing": label_smoothing}

    def forward(self, input, target):
        return F.cross_entropy(input.float(), target, **self.options)


class ApexLoss:
    @staticmethod
    def apply(logits, labels, smoothing=0.0, padding_idx=0, half_to_float=False):
        assert not half_to_float
        # the kernel reads the logit at every label
        assert int(labels.min()) >= 0
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
        return losses.masked_fill(labels == padding_idx, 0.0)


def parallel_cross_entropy(
    inp, target, label_smoothing=0.0, reduce_loss=False, dist_process_group=None, ignore_idx=-100,
    is_cg_capturable=False, *, overwrite_input=False, _input=None,
):  # fmt: skip
    assert inp.ndim == 3
    assert target.numel() == inp.shape[0] * inp.shape[1]
    losses = F.cross_entropy(
        inp.flatten(0, 1).float(), target.flatten(), ignore_index=ignore_idx, label_smoothing=label_smoothing,
        reduction="mean" if reduce_loss else "none",
    )  # fmt: skip
    # the mean comes back with one dimension, as the count it is divided by has one
    return losses.reshape(1) if reduce_loss else losses.view(inp.shape[:2])


class UnslothLoss:
    @staticmethod
    def apply(logits, labels, logit_softcapping=0, logit_scaling=0):
        assert logit_softcapping == 0
        assert logit_scaling == 0
        return F.cross_entropy(logits.float(), labels, ignore_index=-100, reduction="none")


class TorchtuneLoss(torch.nn.Module):
    def __init__(self, num_output_chunks=8, ignore_index=-100):
        super().__init__()
        self.num_output_chunks, self.ignore_index = num_output_chunks, ignore_index

    def forward(self, logits, labels):
        assert isinstance(logits, list)
        kept = (labels != self.ignore_index).sum()
        rows = labels.chunk(self.num_output_chunks, dim=1)
        assert [chunk.shape[:2] for chunk in logits] == [chunk.shape for chunk in rows]
        sums = (
            F.cross_entropy(x.flatten(0, 1).float(), y.flatten(), ignore_index=self.ignore_index, reduction="sum")
            for x, y in zip(logits, rows, strict=True)
        )
        return sum(sums) / kept


#: Module → its attributes.
FAKES: Mapping[str, Mapping[str, Any]] = {
    "quack.cross_entropy": {"cross_entropy": quack_cross_entropy},
    "quack.linear_cross_entropy": {"chunked_linear_cross_entropy": quack_chunked},
    "cut_cross_entropy": {"linear_cross_entropy": cut_linear_cross_entropy},
    "flash_attn.losses.cross_entropy": {"CrossEntropyLoss": FlashLoss},
    "apex.contrib.xentropy": {"SoftmaxCrossEntropyLoss": ApexLoss},
    "transformer_engine.pytorch.cross_entropy": {"parallel_cross_entropy": parallel_cross_entropy},
    "unsloth.kernels.cross_entropy_loss": {"Fast_CrossEntropyLoss": UnslothLoss},
    "torchtune.modules.loss": {"CEWithChunkedOutputLoss": TorchtuneLoss},
}


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-ins into ``sys.modules``, with the packages above them."""
    for name, attributes in FAKES.items():
        parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            path = ".".join(parts[:depth])
            if path not in sys.modules or depth == len(parts):
                monkeypatch.setitem(sys.modules, path, ModuleType(path))
        for attribute, value in attributes.items():
            setattr(sys.modules[name], attribute, value)
