"""The times that docs/kernels.md quotes for the CPU: a copy, eager and compiled torch and fused_cpu, interleaved.

python scripts/fused_cpu_figures.py 16384x1000 1024x32000
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from harness.registry.load import load_source
from harness.registry.sources import parse_reference

_FOLDER = Path(__file__).parents[1] / "implementations"
#: Inputs of one shape, taken in turn, hold at least this much: more than the last-level cache.
_RING_BYTES = 96 << 20
_SECONDS, _LEAST_ROUNDS = 2.5, 5


def main(shapes: list[str]) -> None:
    """Print one row of the table for each shape and dtype."""
    for shape in shapes:
        batch, classes = (int(size) for size in shape.split("x"))
        for dtype in (torch.float32, torch.bfloat16):
            torch.manual_seed(0)
            ring = max(2, -(-_RING_BYTES // (batch * classes * dtype.itemsize)))
            inputs = [torch.randn(batch, classes).to(dtype).requires_grad_() for _ in range(ring)]
            times = _sampled(_arms(inputs[0], torch.randint(classes, (batch,))), inputs)
            told = [f"{name} {statistics.median(spent):.2f} ms" for name, spent in times.items()]
            ratios = [
                f"over {name} {_ratio(times[name], times['fused_cpu']):.2f}" for name in ("torch", "torch_compile")
            ]
            print(f"{shape} {str(dtype)[6:]} ({len(times['torch'])} rounds)", *told, *ratios,
                  f"copies {_ratio(times['fused_cpu'], times['copy']):.2f}", sep=" | ", flush=True)  # fmt: skip
            torch.compiler.reset()


def _arms(like: torch.Tensor, target: torch.Tensor) -> dict[str, Callable[[torch.Tensor], object]]:
    named = load_source(parse_reference(str(_FOLDER / "fused_cpu"), Path.cwd()))
    losses: dict[str, Callable[..., torch.Tensor]] = {description.name: call for description, call in named}
    losses |= {"torch": F.cross_entropy, "torch_compile": torch.compile(_cross_entropy, dynamic=False, fullgraph=True)}
    copied = torch.empty_like(like, requires_grad=False)

    def both(name: str) -> Callable[[torch.Tensor], object]:
        return lambda logits: torch.autograd.grad(losses[name](logits, target), logits)

    arms: dict[str, Callable[[torch.Tensor], object]] = {name: both(name) for name in losses}
    return {"copy": lambda logits: copied.copy_(logits.detach()), **arms}


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, target)


def _sampled(arms: dict[str, Callable[[torch.Tensor], object]], inputs: list[torch.Tensor]) -> dict[str, list[float]]:
    """Milliseconds of each arm in each round; a round visits all of them in random order, on the inputs in turn."""
    for arm in arms.values():
        arm(inputs[0])
        arm(inputs[1])
    times: dict[str, list[float]] = {name: [] for name in arms}
    end, turn = time.perf_counter() + _SECONDS, 0
    while time.perf_counter() < end or len(times["copy"]) < _LEAST_ROUNDS:
        for name in random.sample(list(arms), len(arms)):
            turn += 1
            start = time.perf_counter()
            result = arms[name](inputs[turn % len(inputs)])
            times[name].append(1e3 * (time.perf_counter() - start))
            del result
    return times


def _ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main(sys.argv[1:] or ["65536x10", "65536x100", "16384x1000", "1024x32000", "512x128256"])
