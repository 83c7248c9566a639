"""The host as the operating system shows it: caches, memory, load, versions. Torch-free."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

#: Where the size of no cache can be read: larger than any last-level cache of a desktop part.
DEFAULT_LAST_LEVEL_CACHE_BYTES = 64 * 1024 * 1024

_ALLOCATOR_VARIABLES = (
    "LD_PRELOAD",
    "GLIBC_TUNABLES",
    "THP_MEM_ALLOC_ENABLE",
    "PYTORCH_CUDA_ALLOC_CONF",
    "PYTORCH_ALLOC_CONF",
)
_PACKAGES = ("torch", "triton", "numpy", "scipy", "pandas", "pydantic", "liger-kernel", "nvidia-ml-py")


def last_level_cache_bytes(root: Path = Path("/sys/devices/system/cpu/cpu0/cache")) -> int:
    """Bytes of the largest cache that the first core sees, or a generous default where the system does not say."""
    sizes = []
    for index in sorted(root.glob("index*/size")):
        text = index.read_text().strip()
        unit = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:], 1)
        sizes.append(int(text.rstrip("KMG")) * unit)
    return max(sizes, default=DEFAULT_LAST_LEVEL_CACHE_BYTES)


def available_memory_bytes(path: Path = Path("/proc/meminfo")) -> int:
    """Memory that can be taken without swapping, in bytes; the physical size where the system does not say."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def usable_cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor_name(path: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name."""
    if path.is_file():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def package_versions() -> dict[str, str | None]:
    """Installed version of each package that figures depend on (None where absent)."""
    return {name: installed_version(name) for name in _PACKAGES}


def git_revision(folder: Path) -> str | None:
    """Commit of the checkout at ``folder``, with ``+changes`` behind it where files differ; None outside one."""
    try:
        head = _git(folder, "rev-parse", "HEAD")
        dirty = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+changes" if dirty else "")


def clock_facts(root: Path = Path("/sys/devices/system/cpu"), cpuinfo: Path = Path("/proc/cpuinfo")) -> dict[str, Any]:
    """``mhz`` of each core now, the ``governor`` and whether ``turbo`` is on; None where the system does not say."""
    text = cpuinfo.read_text() if cpuinfo.is_file() else ""
    mhz = [float(line.split(":")[1]) for line in text.splitlines() if line.startswith("cpu MHz")]
    governor, no_turbo = root / "cpu0/cpufreq/scaling_governor", root / "intel_pstate/no_turbo"
    return {
        "mhz": mhz,
        "governor": governor.read_text().strip() if governor.is_file() else None,
        "turbo": no_turbo.read_text().strip() == "0" if no_turbo.is_file() else None,
    }


def allocator_mode(
    variables: Mapping[str, str] = os.environ, huge_pages: Path = Path("/sys/kernel/mm/transparent_hugepage/enabled")
) -> dict[str, Any]:
    """How large blocks are allocated: on it hangs how many page faults a call pays.

    They are most of eager torch's time above 32 MB.

    ``name`` is ``preloaded`` (another malloc stands in), ``glibc tuned`` (told when to map) or ``glibc``, which maps
    every block above 32 MB anew; ``transparent_huge_pages`` is the kernel's mode, empty where it does not say.
    """
    known = {k: v for k, v in variables.items() if k in _ALLOCATOR_VARIABLES or k.startswith("MALLOC_")}
    tuned = any(k.startswith("MALLOC_") or k == "GLIBC_TUNABLES" for k in known)
    text = huge_pages.read_text() if huge_pages.is_file() else ""
    return {
        "name": "preloaded" if "LD_PRELOAD" in known else "glibc tuned" if tuned else "glibc",
        "transparent_huge_pages": text.partition("[")[2].partition("]")[0],
        "variables": dict(sorted(known.items())),
    }


def environment() -> dict[str, Any]:
    """What a figure depends on: processor, cores, caches, memory, load, system, Python and package versions."""
    return {
        "platform": platform.platform(),
        "python": sys.version.split()[0],
        "processor": processor_name(),
        "cores": usable_cores(),
        "last_level_cache_bytes": last_level_cache_bytes(),
        "available_memory_bytes": available_memory_bytes(),
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "allocator": allocator_mode(),
        "packages": package_versions(),
        "variables": {k: v for k, v in sorted(os.environ.items()) if k.startswith(("OMP_", "MKL_", "KMP_", "MALLOC_"))},
    }


def installed_version(name: str) -> str | None:
    """The version of an installed distribution; None where there is none of that name."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        timeout=5,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout.strip()
