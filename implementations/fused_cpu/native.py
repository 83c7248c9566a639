"""The C++ kernel: found or built once for this processor, loaded, and called on the memory of tensors."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import torch

from .memory import empty_result

_SOURCES = ("kernel.cpp", "few_classes.h", "vectors.h")
#: No -ffast-math: NaN and infinities must come through. Without traps and errno the loops still become vectors.
_FLAGS = ("-std=c++17", "-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math",
          "-ffp-contract=fast", "-fPIC")  # fmt: skip
_SECONDS = 120.0


class _Call(ctypes.Structure):
    """``struct Call`` of kernel.cpp."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in (
            "logits", "gradient", "target", "counted", "row_weight", "row_scale", "loss")),
        *((name, ctypes.c_int64) for name in ("rows", "classes", "stride")),
        ("scale", ctypes.c_double),
        *((name, ctypes.c_int32) for name in ("threads", "bfloat16")),
    )  # fmt: skip


def compiler() -> str | None:
    """The C++ compiler that builds the kernel: ``CXX``, else ``g++``; None off Linux or where neither is there.

    It is the one that torch.compile needs on the CPU. Only GCC on Linux has the OpenMP runtime that torch has loaded.
    """
    if platform.system() != "Linux":
        return None
    return shutil.which(os.environ.get("CXX", "g++"))


def serves(rows: torch.Tensor) -> bool:
    """Whether the kernel takes such logits: (N, C), float32 or bfloat16, the entries of a row beside one another."""
    return (
        rows.dim() == 2
        and rows.dtype in (torch.float32, torch.bfloat16)
        and (rows.stride(1) == 1 or rows.shape[1] == 1)
        and rows.shape[1] < 2**31
    )


def run(
    rows: torch.Tensor,
    index: torch.Tensor,
    counted: torch.Tensor | None,
    row_weight: torch.Tensor | None,
    scale: torch.Tensor | float | None,
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Losses (N,) in float32, weighted and 0 where ignored; and the gradient, shaped and typed like ``rows``.

    Args:
        rows: logits, (N, C), such as `serves` accepts.
        index: (N,) int64, each within [0, C) where counted.
        counted: (N,) bool; None where every row counts.
        row_weight: (N,) float32; None where every weight is 1.
        scale: what gradients are multiplied with beside their weights, a number or (N,) float32; None for no gradient.

    Raises:
        RuntimeError: the kernel cannot be built here; the message has the compiler's own.
    """
    losses = torch.empty(rows.shape[0], dtype=torch.float32)
    gradient = None if scale is None else empty_result(rows.shape, rows.dtype)
    # held by these names until the kernel is done
    index, counted, row_weight = index.contiguous(), _flat(counted), _flat(row_weight)
    row_scale = _flat(scale) if isinstance(scale, torch.Tensor) else None
    call = _Call(
        logits=rows.data_ptr(), gradient=_address(gradient), target=index.data_ptr(), counted=_address(counted),
        row_weight=_address(row_weight), row_scale=_address(row_scale), loss=losses.data_ptr(), rows=rows.shape[0],
        classes=rows.shape[1], stride=rows.stride(0), scale=scale if isinstance(scale, float) else 1.0,
        threads=torch.get_num_threads(), bfloat16=int(rows.dtype == torch.bfloat16),
    )  # fmt: skip
    _kernel().cross_entropy_rows(ctypes.byref(call))
    return losses, gradient


def every_target_counts(target: torch.Tensor, classes: int, ignore_index: int) -> bool:
    """Whether each entry of ``target``, contiguous int64, is a class and none is ``ignore_index``."""
    return bool(_kernel().every_target_counts(target.data_ptr(), target.numel(), classes, ignore_index))


def _flat(tensor: torch.Tensor | None) -> torch.Tensor | None:
    return None if tensor is None else tensor.contiguous()


def _address(tensor: torch.Tensor | None) -> int | None:
    return None if tensor is None else tensor.data_ptr()


@cache
def _kernel() -> ctypes.CDLL:
    library = ctypes.CDLL(str(_built()))
    library.cross_entropy_rows.argtypes = (ctypes.POINTER(_Call),)
    library.cross_entropy_rows.restype = None
    library.every_target_counts.argtypes = (ctypes.c_void_p, *(ctypes.c_int64,) * 3)
    library.every_target_counts.restype = ctypes.c_int32
    return library


def _built() -> Path:
    """The shared library for these sources, flags, compiler and processor, built if it is not there yet."""
    program = compiler()
    if program is None:
        raise RuntimeError("fused_cpu asked for its C++ kernel and found no g++; install one, or use fused_cpu_torch")
    sources = [Path(__file__).with_name(name) for name in _SOURCES]
    told = "\n".join((*(path.read_text() for path in sources), *_FLAGS, _answer(program, "--version"), _processor()))
    library = _folder() / f"cross_entropy_{hashlib.sha256(told.encode()).hexdigest()[:16]}.so"
    if not library.exists():
        _build(program, sources[0], library)
    return library


def _build(program: str, source: Path, library: Path) -> None:
    # built aside and renamed: several processes may build at once, and none may load half a file
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        built = Path(folder, "kernel.o"), Path(folder, "kernel.so")
        _answer(program, *_FLAGS, "-c", str(source), "-o", str(built[0]))
        # linked without -fopenmp: its symbols are then those of the runtime torch has loaded, not of a second pool
        _answer(program, "-shared", str(built[0]), "-o", str(built[1]))
        built[1].replace(library)


def _folder() -> Path:
    """A folder of this user's alone for built kernels: ``LOSS_HARNESS_CACHE``, else one among temporary files.

    Raises:
        RuntimeError: the folder belongs to somebody else, whose library would be run.
    """
    chosen = os.environ.get("LOSS_HARNESS_CACHE")
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir(), f"loss_harness_{os.getuid()}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise RuntimeError(f"{folder} belongs to another user; set LOSS_HARNESS_CACHE to a folder of your own")
    return folder


def _processor() -> str:
    """What -march=native depends on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    kept = {line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))}
    return platform.machine() + "".join(sorted(kept))


def _answer(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"fused_cpu cannot build its kernel with {' '.join(command)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
