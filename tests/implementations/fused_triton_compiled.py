"""Compiles what fused_triton would launch on an H200 and prints what the compiler made of it, as one JSON list."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import torch

SCRIPT = Path(__file__).parents[2] / "scripts" / "fused_triton_figures.py"
BFLOAT16, FLOAT32, FLOAT64 = torch.bfloat16, torch.float32, torch.float64
EVERY_OPTION = {"label_smoothing": 0.1, "z_loss": 1e-4, "softcap": 30.0}
#: (shape, dtype, strategy, options): every kernel and every way of the plan, rows on and off 16-byte boundaries.
CALLS = (
    ((32768, 256), BFLOAT16, "auto", {}),
    ((32768, 4096), FLOAT32, "auto", {}),
    ((8192, 8192), BFLOAT16, "auto", {}),
    ((8192, 128256), BFLOAT16, "auto", {}),
    ((8192, 128256), FLOAT32, "auto", {}),
    ((8192, 50257), BFLOAT16, "auto", {}),
    ((8, 128256), BFLOAT16, "auto", {}),
    ((8192, 128256), BFLOAT16, "resident", {}),
    ((8192, 128256), BFLOAT16, "three_pass", {}),
    ((8192, 50257), FLOAT64, "capped", EVERY_OPTION | {"probability": True}),
    ((64, 12), FLOAT64, "resident", EVERY_OPTION),
)


def script():
    """The script as a module."""
    specification = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules[SCRIPT.stem] = module
    specification.loader.exec_module(module)
    return module


def small_kernels(figures):
    """Recorded launches of the reductions and of the gradients of probability targets and their weight."""
    from fused_triton import launch, mass_gradients, plan

    logits = torch.empty(300, 1000, dtype=torch.float16, device="meta")
    weight, numbers = torch.empty(1000, dtype=torch.float16, device="meta"), torch.empty(300, device="meta")
    kept = launch.Statistics(maximum=numbers, others=numbers, mass=numbers)
    common = {"logits": logits, "weight": weight, "device": plan.H200}
    index = launch.Options(ignore_index=-100, reduction="mean", label_smoothing=0.0, probability=False)
    soft = launch.Options(ignore_index=-100, reduction="mean", label_smoothing=0.1, probability=True, softcap=5.0)
    call = launch.Call(target=torch.empty(300, dtype=torch.uint8, device="meta"), options=index, **common)
    other = launch.Call(target=torch.empty_like(logits), options=soft, **common)
    with figures.recording() as found:
        divisor = launch.divisor_of(call)
        launch.total_of(call, numbers, divisor)
        above = launch.Upstream(value=logits[0, 0], stride=0)
        gradients = mass_gradients.MassGradients(call=other, kept=kept, upstream=above, divisor=divisor)
        gradients.target()
        gradients.weight()
    return found


def main() -> None:
    figures = script()
    results = []
    for shape, dtype, strategy, options in CALLS:
        for step, planned, recorded in figures.launches(shape, dtype, strategy, **options):
            made = figures.compiled(recorded)
            results.append({
                "call": f"{shape} {dtype} {strategy} {step}", "strategy": strategy, "kernel": planned.kernel,
                "finish": planned.finish, "max_registers": planned.max_registers, "threads": 32 * planned.num_warps,
                "programs": planned.programs, "options": bool(options), "step": step, "probability":
                options.get("probability", False), "odd": shape[1] % 8 != 0, **made,
            })  # fmt: skip
    for recorded in small_kernels(figures):
        results.append({"call": recorded.kernel.__name__, "kernel": "small", **figures.compiled(recorded)})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
