"""What the interpreted checks of fused_triton share: their registry, inputs, and the comparison with float64."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

IMPLEMENTATION = Path(__file__).parents[2] / "implementations" / "fused_triton"
CHECKS: dict[str, Callable[[], None]] = {}
DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
INF = math.inf


def check(function: Callable[[], None]) -> Callable[[], None]:
    CHECKS[function.__name__] = function
    return function


def fused(*args, **options):
    """The implementation, loaded once as a worker loads it; a variant inside ``named``."""
    from harness.registry.load import load_source
    from harness.registry.sources import parse_reference

    if not hasattr(fused, "loaded"):
        found = load_source(parse_reference(str(IMPLEMENTATION), Path.cwd()))
        fused.names = {description.name: function for description, function in found}
        fused.loaded = fused.names["fused_triton"]
    return fused.loaded(*args, **options)


@contextlib.contextmanager
def named(name):
    """``fused`` is the variant of this name inside."""
    kept = fused.loaded
    fused.loaded = fused.names[name]
    try:
        yield
    finally:
        fused.loaded = kept


def tensors(shape, dtype, *, probability=False, weighted=False, ignored=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = (3 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype)
    classes = shape[1]
    weight = (torch.rand(classes, generator=generator) + 0.5).to(dtype) if weighted else None
    if probability:
        return logits, torch.randn(shape, generator=generator).softmax(1).to(dtype), weight
    target = torch.randint(classes, (shape[0], *shape[2:]), generator=generator)
    if ignored:
        target.view(-1)[::4] = -100
    return logits, target, weight


def leaves(logits, target, weight, dtype=None):
    """Detached copies that keep strides, in ``dtype`` if given; with probability targets all of them require grad."""
    probability = target.is_floating_point()
    made = [logits.detach().to(dtype or logits.dtype).detach().requires_grad_(), target, weight]
    if probability:
        made[1] = target.detach().to(dtype or target.dtype).detach().requires_grad_()
    if weight is not None:
        made[2] = weight.detach().to(dtype or weight.dtype).detach().requires_grad_(probability)
    return made


def differentiate(loss_function, logits, target, weight, upstream, **options):
    loss = loss_function(logits, target, weight=weight, **options)
    wanted = [t for t in (logits, target, weight) if t is not None and t.requires_grad]
    gradients = torch.autograd.grad(loss, wanted, upstream(loss))
    return loss.detach(), gradients


def random_upstream(loss):
    generator = torch.Generator().manual_seed(7)
    return torch.randn(loss.shape, generator=generator, dtype=torch.float64).to(loss.dtype)


def agrees(logits, target, weight=None, upstream=random_upstream, **options):
    """Both directions against F.cross_entropy in float64.

    Every value is a sum of non-negative terms of size ≤ `scale`: th = u (2 D + 4 + C/8 + 8) for the row sum with D ≤
    log C, the same again for logarithm, shift and products, and 1 ulp for the final rounding (the interpreter
    truncates to bfloat16).
    """
    dtype = logits.dtype
    wide = leaves(logits, target, weight, torch.float64)  # copied first: one variant writes over its logits
    found, found_gradients = differentiate(fused, *leaves(logits, target, weight), upstream, **options)
    held = lambda loss: upstream(found).to(torch.float64)  # noqa: E731
    true, true_gradients = differentiate(F.cross_entropy, *wide, held, **options)
    u = 2.0**-53 if dtype == torch.float64 else 2.0**-24
    classes, rows = logits.shape[1], max(1, logits.numel() // logits.shape[1])
    tolerance = 2 * u * (2 * math.log(classes) + classes / 8 + 16 + rows)
    ulp = torch.finfo(dtype).eps
    assert found.dtype == dtype
    assert found.shape == true.shape
    close(found, true, tolerance * (1 + true.abs()), ulp)
    for gradient, truth in zip(found_gradients, true_gradients, strict=True):
        assert gradient.dtype == dtype
        assert gradient.shape == truth.shape
        close(gradient, truth, tolerance * (1 + truth.abs().max() if truth.numel() else 0), ulp)


def close(found, true, absolute, ulp):
    found = found.to(torch.float64)
    assert torch.equal(found.isnan(), true.isnan())
    infinite = true.isinf()
    assert torch.equal(found[infinite], true[infinite])
    finite = true.isfinite()
    absolute = absolute[finite] if torch.is_tensor(absolute) and absolute.shape == true.shape else absolute
    excess = (found - true)[finite].abs() - absolute - ulp * true[finite].abs() - 2.0**-24 * (ulp > 2**-23)
    assert not (excess > 0).any(), f"off by {(found - true)[finite].abs().max():.3g}, {excess.max():.3g} over"
