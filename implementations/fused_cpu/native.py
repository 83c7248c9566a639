"""The C++ operator: found or built once for this processor, compiler and torch, and loaded into ``torch.ops``."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

_SOURCES = (
    "kernel.cpp", "kernel.h", "vectors.h", "maxima.h", "shares.h",
    "finish.h", "few_classes.h", "short_rows.h", "near_rows.h",
    "operator.cpp", "operator.h", "backward.h", "serves.h", "entry.cpp",
)  # fmt: skip
_COMMON = ("-std=c++20", "-fPIC")
#: No -ffast-math: NaN and infinities must come through. Without traps and errno the loops still become vectors.
_KERNEL_FLAGS = ("-O3", "-march=native", "-fopenmp", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=fast")
#: torch's headers are most of the build, the fewer of them the shorter.
_OPERATOR_FLAGS = (
    "-O2", "-DAT_PER_OPERATOR_HEADERS", f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
)  # fmt: skip
_TORCH = Path(torch.__file__).parent
_SECONDS = 240.0

#: ``(logits, target, weight, ignore_index, reduction, label_smoothing)`` → the loss; None for a call it does not serve.
Operator = Callable[..., torch.Tensor | None]

#: The operator, once loaded. No functools.cache, which torch.compile looks behind, to find a compiler being called.
_LOADED: list[Operator] = []
#: The same past torch's dispatcher, once loaded, where Python's headers were there to build it: all six arguments by
#: position, and None as well where somebody follows the operators. Not for torch.compile, which cannot look into it.
DIRECT: list[Operator] = []


def compiler() -> str | None:
    """The C++ compiler that builds the kernel: ``CXX``, else ``g++``; None off Linux or where neither is there.

    It is the one that torch.compile needs on the CPU. Only GCC on Linux has the OpenMP runtime that torch has loaded.
    """
    if platform.system() != "Linux":
        return None
    return shutil.which(os.environ.get("CXX", "g++"))


def operator() -> Operator | None:
    """The operator, built if need be; None where there is no compiler.

    Raises:
        RuntimeError: the operator cannot be built here; the message has the compiler's own.
    """
    if not _LOADED:
        program = compiler()
        if program is None:
            return None
        _LOADED.append(_load(program))
    return _LOADED[0]


def _load(program: str) -> Operator:
    key = _key(program)
    # named after all it was made from: a process may load several builds, and torch refuses a name twice
    name = f"fused_cpu_{key}"
    # loaded already where this module is there twice, and then perhaps from a folder chosen before
    library = next((path for path in torch.ops.loaded_libraries if Path(path).stem == name), None)
    if library is None:
        library = str(_folder() / f"{name}.so")
        if not Path(library).exists():
            _build(program, name, Path(library))
        torch.ops.load_library(library)
    if _python_flags():
        entry = ctypes.PyDLL(library).entry
        entry.restype = ctypes.py_object
        DIRECT[:] = [entry()]
    return getattr(torch.ops, name).cross_entropy.default


def _python_flags() -> tuple[str, ...]:
    """What the way in from Python is built with; nothing where Python's headers are not installed."""
    include = Path(sysconfig.get_paths()["include"])
    return ("-isystem", str(include)) if (include / "Python.h").exists() else ()


def _key(program: str) -> str:
    """Of all that a library is made from: sources, flags, compiler, processor and torch."""
    sources = (Path(__file__).with_name(name).read_text() for name in _SOURCES)
    told = (*sources, *_COMMON, *_KERNEL_FLAGS, *_OPERATOR_FLAGS, _answer(program, "--version"), _processor(),
            torch.__version__, str(torch.version.git_version), *_python_flags(), str(sysconfig.get_config_var("SOABI")),
    )  # fmt: skip
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _build(program: str, name: str, library: Path) -> None:
    here = Path(__file__).parent
    # built aside and renamed: several processes may build at once, and none may load half a file
    with tempfile.TemporaryDirectory(dir=library.parent) as folder:
        torch_flags = (*_OPERATOR_FLAGS, "-isystem", str(_TORCH / "include"), f"-DFUSED_CPU={name}")
        parts = {"operator": torch_flags, "kernel": _KERNEL_FLAGS}
        if _python_flags():
            parts["entry"] = (*torch_flags, *_python_flags())
        objects = [str(Path(folder, f"{part}.o")) for part in parts]
        with ThreadPoolExecutor(2) as pool:
            jobs = [
                pool.submit(_answer, program, *_COMMON, *flags, "-c", str(here / f"{part}.cpp"), "-o", made)
                for (part, flags), made in zip(parts.items(), objects, strict=True)
            ]
        for job in jobs:
            job.result()
        # linked without -fopenmp: its symbols are then those of the runtime torch has loaded, not of a second pool
        torch_libraries = (f"-L{_TORCH / 'lib'}", "-ltorch_cpu", "-lc10", *(("-ltorch_python",) * ("entry" in parts)))
        built = str(Path(folder, "built.so"))
        _answer(program, "-shared", *objects, "-o", built, *torch_libraries)
        Path(built).replace(library)


def _folder() -> Path:
    """A folder of this user's alone for built kernels: ``LOSS_HARNESS_CACHE``, else one among temporary files.

    Raises:
        RuntimeError: the folder cannot be made or belongs to somebody else, whose library would be run.
    """
    chosen = os.environ.get("LOSS_HARNESS_CACHE")
    folder = Path(chosen) if chosen else Path(tempfile.gettempdir(), f"loss_harness_{os.getuid()}")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeError(f"fused_cpu has no folder to build in: {error}; set LOSS_HARNESS_CACHE to one") from error
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
