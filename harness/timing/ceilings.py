"""What this device can do at most: bandwidth from memory and from the last-level cache, fault cost, matrix products."""

from __future__ import annotations

import mmap
import resource
from collections.abc import Callable, Iterable
from time import perf_counter_ns
from typing import Any

import torch

from harness.stats.roofline import best_ceilings

#: Bytes of the buffer that stays in cache: well inside any last-level cache, well above a call's overhead.
_CACHED_SHARE = 8
#: A best that has not fallen by 1 % over so many repeats in a row stands.
_PATIENCE = 3
_MAX_REPEATS = 15
_FAULT_BYTES = 32 << 20
_MATRIX = 1024


def measure_ceilings(device: str, *, cache_bytes: int, dtypes: Iterable[str], matrices: bool = False) -> dict[str, Any]:
    """Bandwidths of ``device`` in bytes/s, the best seen, with the threads that torch has now.

    Returns:
        ``memory`` and ``cache``: for each dtype ``read`` (a reduction), ``write`` (a fill) and ``copy`` (bytes read
        plus bytes written), each by torch's fastest simple operation; ``best_read`` and ``best`` over dtypes and
        operations, which no traffic can beat whatever its dtype; ``page_fault_ns`` (host only); ``flops_per_s`` of a
        matrix product for each dtype where asked for.

    ``memory`` goes over a slab of twice the last-level cache, as the ring of cold inputs does, so that a cache which
    keeps part of such a slab counts the same here and there.
    """
    names = tuple(dtypes)
    found = _bandwidths(device, names, cache_bytes)
    threads = torch.get_num_threads()
    if not device.startswith("cuda"):
        if threads > 1:
            # beside another busy process all threads together can be slower than one: a ceiling must not be
            torch.set_num_threads(1)
            found = best_ceilings(found, _bandwidths(device, names[:1], cache_bytes))
            torch.set_num_threads(threads)
        found["page_fault_ns"] = measure_page_fault_ns()
    # likewise what is in cache is never slower than what is not
    found["cache"] = best_ceilings(found["cache"], found["memory"])
    if matrices:
        found["flops_per_s"] = {name: _flops(device, name) for name in names}
    return {"threads": threads, "cache_bytes": cache_bytes, **found}


def measure_page_fault_ns(size: int = _FAULT_BYTES) -> float:
    """Wall time that touching one fresh page takes, in ns: what a call pays when its buffers are mapped anew."""
    best = float("inf")
    for _ in range(3):
        with mmap.mmap(-1, size) as fresh:
            block = torch.frombuffer(fresh, dtype=torch.uint8)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
            first = _host_ns(lambda block=block: block.fill_(1))
            faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
            second = _host_ns(lambda block=block: block.fill_(2))
            del block
        if faults:
            best = min(best, max(0.0, (first - second) / faults))
    return round(best, 1) if best < float("inf") else 0.0


def _bandwidths(device: str, names: tuple[str, ...], cache_bytes: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for level, size in (("memory", 2 * cache_bytes), ("cache", max(1 << 18, cache_bytes // _CACHED_SHARE))):
        rates = {name: _rates(device, name, size) for name in names}
        read = max(value for rate in rates.values() for key, value in rate.items() if key != "write")
        best = max(value for rate in rates.values() for value in rate.values())
        found[level] = {"dtypes": rates, "best_read": read, "best": best}
    return found


def _rates(device: str, dtype: str, size: int) -> dict[str, int]:
    kind = getattr(torch, dtype)
    count = size // kind.itemsize
    source = torch.ones(count, dtype=kind, device=device)
    into = torch.zeros_like(source)
    moved, half = count * kind.itemsize, count // 2
    read = _best(source.sum, device)
    write = _best(into.zero_, device)
    # half and half, so that a copy's two streams together are as large as the slab that is read
    copy = _best(lambda: into[:half].copy_(source[:half]), device)
    return {
        "read": round(moved / read * 1e9), "write": round(moved / write * 1e9),
        "copy": round(2 * half * kind.itemsize / copy * 1e9),
    }  # fmt: skip


def _flops(device: str, dtype: str) -> int:
    side = 8 * _MATRIX if device.startswith("cuda") else _MATRIX
    left = torch.ones(side, side, dtype=getattr(torch, dtype), device=device)
    return round(2 * side**3 / _best(lambda: left @ left, device) * 1e9)


def _best(run: Callable[[], object], device: str) -> int:
    """Least ns of ``run``, repeated until it no longer falls."""
    timed = _device_ns if device.startswith("cuda") else _host_ns
    run()
    best, waited = timed(run), 0
    for _ in range(_MAX_REPEATS):
        if waited >= _PATIENCE:
            break
        found = timed(run)
        waited = 0 if found < 0.99 * best else waited + 1
        best = min(best, found)
    return max(1, best)


def _host_ns(run: Callable[[], object]) -> int:
    started = perf_counter_ns()
    run()
    return perf_counter_ns() - started


def _device_ns(run: Callable[[], object]) -> int:
    torch.cuda.synchronize()
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize()
    return int(begin.elapsed_time(end) * 1e6)
