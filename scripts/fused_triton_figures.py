"""Plans of fused_triton for a GPU, and what the compiler makes of them: no GPU needed.

    python scripts/fused_triton_figures.py                     # launches, bytes moved and least time on an H200
    python scripts/fused_triton_figures.py --compile           # registers, spills and widths of accesses too

A launch is recorded where it would go out, on tensors without contents, so what is compiled is what is launched.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "implementations"))

#: Shapes of the published tables, of vocabularies in use, and with fewer rows than the device runs programs.
SHAPES = (
    (65536, 10), (32768, 256), (32768, 1024), (32768, 4096), (32768, 16384), (8192, 32000), (8192, 50257),
    (8192, 128256), (8192, 151936), (8192, 262144), (8, 128256), (1, 262144),
)  # fmt: skip
#: Bytes a second that an H200 sustains: copying, and reading alone. Not measured here; see docs/kernels.md.
COPY_BANDWIDTH, READ_BANDWIDTH = 4.3e12, 4.56e12
_NAMES = {torch.float64: "fp64", torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16",
          torch.int64: "i64", torch.int32: "i32", torch.uint8: "u8"}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One launch as it would have gone out."""

    kernel: Any
    grid: tuple[int, ...]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]


class _Recorder:
    # stands where a kernel stands, and keeps what it is launched with
    def __init__(self, kernel: Any, found: list[Recorded]) -> None:
        self.kernel, self.found = kernel, found

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def record(*arguments: Any, **keywords: Any) -> None:
            self.found.append(Recorded(kernel=self.kernel, grid=grid, arguments=arguments, keywords=keywords))

        return record


@contextmanager
def recording() -> Iterator[list[Recorded]]:
    """Launches made inside are recorded, not carried out."""
    from fused_triton import launch, mass_gradients, sweep_kernel

    found: list[Recorded] = []
    places = {
        launch: ("rows_kernel", "divisor_kernel", "sum_kernel"), sweep_kernel: ("sweep_kernel",),
        mass_gradients: ("target_gradient_kernel", "weight_gradient_kernel"),
    }  # fmt: skip
    kept = [(module, name, getattr(module, name)) for module, names in places.items() for name in names]
    try:
        for module, name, kernel in kept:
            setattr(module, name, _Recorder(kernel, found))
        yield found
    finally:
        for module, name, kernel in kept:
            setattr(module, name, kernel)


def launches(shape: tuple[int, int], dtype: torch.dtype, strategy: str, *, probability: bool = False, **options: Any):
    """(step, plan, recorded launch) of every kernel of a mean's forward and backward pass, planned for an H200."""
    from fused_triton import launch, plan

    logits = torch.empty(shape, dtype=dtype, device="meta")
    target = torch.empty_like(logits) if probability else torch.empty(shape[0], dtype=torch.int64, device="meta")
    chosen = launch.Options(
        ignore_index=-100, reduction="mean", label_smoothing=options.pop("label_smoothing", 0.0),
        probability=probability, strategy=strategy, **options,
    )  # fmt: skip
    call = launch.Call(logits=logits, target=target, weight=None, options=chosen, device=plan.H200)
    problem, device = call.problem, plan.H200
    divisor = torch.empty((), dtype=torch.float64, device="meta")
    now = plan.gradient_in_forward(problem, device, strategy)
    steps = [
        ("forward", plan.forward_launch(problem, device), False, None),
        ("loss and gradient", plan.fused_launch(problem, device, strategy), True, None),
        ("backward", plan.backward_launch(problem, device, skippable=now), True, False),
    ]  # fmt: skip
    for step, planned, gradient, skip in steps:
        if step == "loss and gradient" and not now:
            continue
        above = None if skip is None else launch.Upstream(value=logits[0, 0], stride=0, skip=now)
        with recording() as found:
            buffers = launch.empty_buffers(call, gradient=gradient)
            launch.launch(call, planned, buffers, divisor if gradient else None, above, saved=step == "backward")
        yield step, planned, found[-1]


def compiled(recorded: Recorded, capability: int = 90) -> dict[str, int]:
    """What the compiler and ptxas make of a launch: registers, bytes spilled, and 16-byte accesses in the PTX."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    names = recorded.kernel.arg_names
    values = dict(zip(names, recorded.arguments, strict=False)) | recorded.keywords
    plain = {name for number, name in enumerate(names) if _unspecialised(recorded.kernel, number, name)}
    signature, constants, attributes = {}, {}, {}
    for number, name in enumerate(names):
        value = values[name]
        if number >= len(recorded.arguments) or (isinstance(value, int) and value == 1 and name not in plain):
            signature[name], constants[name] = "constexpr", value
            continue
        tensor = isinstance(value, torch.Tensor)
        signature[name] = f"*{_NAMES[value.dtype]}" if tensor else "i32" if -(2**31) <= value < 2**31 else "i64"
        if (value.data_ptr() if tensor else value) % 16 == 0 and name not in plain:
            attributes[(number,)] = [["tt.divisibility", 16]]
    options = {name: recorded.keywords[name] for name in recorded.keywords if name not in names}
    source = ASTSource(fn=recorded.kernel, signature=signature, constexprs=constants, attrs=attributes)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    return _resources(made.asm["cubin"]) | {
        "shared_bytes": made.metadata.shared,
        # straight into registers, or past them into shared memory where a loop is pipelined
        "wide_loads": len(re.findall(r"ld\.global\S*\.v(?:4\.b32|2\.b64)|cp\.async\S* .*, 0x10\b", made.asm["ptx"])),
        "wide_stores": len(re.findall(r"st\.global\S*\.v(?:4\.b32|2\.b64)", made.asm["ptx"])),
    }


def _unspecialised(kernel: Any, number: int, name: str) -> bool:
    named = kernel.do_not_specialize or ()
    return number in named or name in named


def _resources(cubin: bytes) -> dict[str, int]:
    import triton

    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernel.cubin"
        file.write_bytes(cubin)
        text = subprocess.run([tool, "-res-usage", file], capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)", text)
    if found is None:
        raise RuntimeError(f"{tool.name} -res-usage printed no registers:\n{text}")
    registers, stack, _shared, local = map(int, found.groups())
    return {"registers": registers, "spilled_bytes": stack + local}


def bytes_moved(step: str, shape: tuple[int, int], itemsize: int) -> int:
    """Bytes that a step must move at least: the logits once, and the gradient once if it makes one."""
    return shape[0] * shape[1] * itemsize * (1 if step == "forward" else 2)


def _row(shape: tuple[int, int], dtype: torch.dtype, strategy: str, found: Any, compile_too: bool) -> dict[str, Any]:
    step, planned, recorded = found
    moved = bytes_moved(step, shape, dtype.itemsize)
    floor = moved / (READ_BANDWIDTH if step == "forward" else COPY_BANDWIDTH)
    row = {
        "shape": f"{shape[0]}×{shape[1]}", "dtype": str(dtype).removeprefix("torch."), "strategy": strategy,
        "step": step,        **asdict(planned), "megabytes": round(moved / 1e6, 1), "floor_us": round(floor * 1e6, 1),
    }  # fmt: skip
    return row | (compiled(recorded) if compile_too else {})


_COLUMNS = ("shape", "dtype", "strategy", "step", "kernel", "programs", "rows", "parts", "block", "num_warps", "finish",
            "resident", "megabytes", "floor_us", "registers", "spilled_bytes", "shared_bytes",
            "wide_loads", "wide_stores")  # fmt: skip


def main() -> None:
    """Print the table, or JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compile", action="store_true", help="compile each launch for sm_90 as well")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a Markdown table")
    parser.add_argument("--strategy", default="auto", help="auto, recompute, resident, capped or three_pass")
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--shape", nargs="+", help="e.g. 8192x128256", default=[f"{n}x{c}" for n, c in SHAPES])
    asked = parser.parse_args()
    os.environ.pop("TRITON_INTERPRET", None)
    columns = _COLUMNS if asked.compile else _COLUMNS[:14]
    if not asked.json:
        print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for text in asked.shape:
        shape = tuple(map(int, text.split("x")))
        for name in asked.dtype:
            dtype = getattr(torch, name)
            for found in launches(shape, dtype, asked.strategy):
                row = _row(shape, dtype, asked.strategy, found, asked.compile)
                print(
                    json.dumps(row) if asked.json else "| " + " | ".join(str(row[c]) for c in columns) + " |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
