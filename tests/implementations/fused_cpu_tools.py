"""What the tests of fused_cpu share: its functions, inputs, and torch's answer in float64."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F

from harness.registry.load import load_source
from harness.registry.sources import parse_reference

FOLDER = Path(__file__).parents[2] / "implementations"
NAMES = ("fused_cpu", "fused_cpu_torch")


@cache
def load():
    return {
        description.name: call for description, call in load_source(parse_reference(str(FOLDER / "fused_cpu"), FOLDER))
    }


def module(name):
    """A module of the package, by name, as the loaded functions see it."""
    names = load()["fused_cpu"].__globals__
    return {"package": names, "native": names["operator"].__globals__}[name]


def unload(monkeypatch):
    """As in a process that has not called the operator yet, for the rest of a test."""
    direct = []
    monkeypatch.setitem(module("native"), "_LOADED", [])
    for name in ("native", "package"):
        monkeypatch.setitem(module(name), "DIRECT", direct)


def made(shape, dtype=torch.float32, *, ignored=True, spread=4.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = (spread * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
    target = torch.randint(shape[1], (shape[0], *shape[2:]), generator=generator)
    if ignored:
        target[::4] = -100
    return logits.requires_grad_(), target


def answer(function, logits, target, upstream=None, **options):
    loss = function(logits, target, **options)
    return loss, *torch.autograd.grad(loss, logits, upstream)


def truth(logits, target, upstream=None, **options):
    if options.get("weight") is not None:
        options = {**options, "weight": options["weight"].double()}
    wide = logits.detach().double().requires_grad_()
    return answer(F.cross_entropy, wide, target, None if upstream is None else upstream.double(), **options)


def assert_close(found, expected, dtype):
    """Each entry within (2 d + 4) roundings of itself, d ≤ 40 being what it lies below its row's largest logit."""
    relative = {torch.float64: 2e-14, torch.float32: 5e-6, torch.bfloat16: 2**-7, torch.float16: 2**-10}[dtype]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == theirs.shape
        assert ours.dtype == dtype
        tiny = torch.finfo(dtype).smallest_normal if dtype != torch.float64 else 1e-40
        torch.testing.assert_close(ours.double(), theirs, rtol=relative, atol=tiny)
