"""The times that docs/kernels.md quotes for the CPU: copies, eager and compiled torch and fused_cpu, interleaved.

python scripts/fused_cpu_figures.py 64x1000 16384x1000
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
#: Inputs of one shape, taken in turn, hold at least this much, more than the last-level cache; small ones stay in it.
_RING_BYTES, _SMALL_BYTES = 96 << 20, 1 << 20
#: A sample is as many calls as take eager torch this long.
_SAMPLE_SECONDS = 2e-3
_SECONDS, _LEAST_ROUNDS = 2.0, 5
_TOLD = ("plain", "copy", "torch", "torch_compile", "fused_cpu")


def main(shapes: list[str]) -> None:
    """Print one row of the table for each shape and dtype."""
    print("| shape | dtype | plain copy, µs | copy, µs | torch, µs | torch_compile, µs | fused_cpu, µs "
          "| over torch | over torch_compile | copies | rounds |")  # fmt: skip
    print("|---" * 11 + "|")
    for shape in shapes:
        batch, classes = (int(size) for size in shape.split("x"))
        for dtype in (torch.float32, torch.bfloat16):
            torch.manual_seed(0)
            size = batch * classes * dtype.itemsize
            ring = 2 if size <= _SMALL_BYTES else max(2, -(-_RING_BYTES // size))
            inputs = [torch.randn(batch, classes).to(dtype).requires_grad_() for _ in range(ring)]
            times = _sampled(_arms(inputs[0], torch.randint(classes, (batch,))), inputs)
            told = [f"{float(f'{statistics.median(times[name]):.3g}'):,.10g}" for name in _TOLD]
            told += [f"{_ratio(times[name], times['fused_cpu']):.2f}×" for name in ("torch", "torch_compile")]
            told += [f"{_ratio(times['fused_cpu'], times['copy']):.2f}", str(len(times["torch"]))]
            print("|", " | ".join((shape.replace("x", "×"), str(dtype)[6:], *told)), "|", flush=True)
            torch.compiler.reset()


def _arms(like: torch.Tensor, target: torch.Tensor) -> dict[str, Callable[[torch.Tensor], object]]:
    named = load_source(parse_reference(str(_FOLDER / "fused_cpu"), Path.cwd()))
    losses: dict[str, Callable[..., torch.Tensor]] = {description.name: call for description, call in named}
    losses |= {"torch": F.cross_entropy, "torch_compile": torch.compile(_cross_entropy, dynamic=False, fullgraph=True)}
    copied, upstream = torch.empty_like(like, requires_grad=False), torch.ones((), dtype=like.dtype).expand(like.shape)

    def both(name: str) -> Callable[[torch.Tensor], object]:
        return lambda logits: torch.autograd.grad(losses[name](logits, target), logits)

    arms: dict[str, Callable[[torch.Tensor], object]] = {name: both(name) for name in losses}
    return {
        "plain": lambda logits: copied.copy_(logits.detach()),
        "copy": lambda logits: torch.autograd.grad(logits.clone(), logits, upstream),
        **arms,
    }


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, target)


def _sampled(arms: dict[str, Callable[[torch.Tensor], object]], inputs: list[torch.Tensor]) -> dict[str, list[float]]:
    """Microseconds a call of each arm in each round; a round visits all in random order, on the inputs in turn."""
    for arm in arms.values():
        for _ in range(3):
            arm(inputs[0])
    calls = max(1, int(_SAMPLE_SECONDS / min(_seconds(arms["torch"], inputs, 0, 2) for _ in range(3))))
    times: dict[str, list[float]] = {name: [] for name in arms}
    end, turn = time.perf_counter() + _SECONDS, 0
    while time.perf_counter() < end or len(times["copy"]) < _LEAST_ROUNDS:
        for name in random.sample(list(arms), len(arms)):
            times[name].append(1e6 * _seconds(arms[name], inputs, turn, calls))
            turn += calls
    return times


def _seconds(arm: Callable[[torch.Tensor], object], inputs: list[torch.Tensor], turn: int, calls: int) -> float:
    start = time.perf_counter()
    for call in range(turn, turn + calls):
        arm(inputs[call % len(inputs)])
    return (time.perf_counter() - start) / calls


def _ratio(one: list[float], other: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


if __name__ == "__main__":
    main(sys.argv[1:] or ["64x10", "64x100", "64x1000", "1024x1000", "16384x1000", "1024x32000"])
