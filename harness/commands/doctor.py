"""``doctor``: this machine, its noise and its ceilings, and how to quieten it."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.core.errors import InternalError, NothingToRunError
from harness.core.status import EXIT_AS_EXPECTED, EXIT_INCONCLUSIVE
from harness.doctor.advice import advice
from harness.doctor.analyse import Noise, analyse
from harness.hardware.host import clock_facts, environment, last_level_cache_bytes, usable_cores
from harness.hardware.noise import steal_share, steal_ticks
from harness.worker.process import ProcessWorkers, Worker, Workers

DTYPES = ("float32", "bfloat16")
_TIMEOUT_S = 120.0
_MOST_ROUNDS = 20_000


def doctor(
    *, device: str = "cpu", seconds: float = 15.0, console: Console, json_path: Path | None = None,
    workers: Workers | None = None,
) -> int:  # fmt: skip
    """Examine this machine; returns 0, or 4 where it is too noisy for speed verdicts.

    Args:
        device: ``cpu``, ``cuda`` or ``cuda:N``.
        seconds: time spent on noise; with ceilings and start it takes about half a minute.
        console: where to print.
        json_path: also write everything there.
        workers: starts the process that measures (a fake stands in for it in tests).

    Raises:
        NothingToRunError: no such device here.
    """
    facts: dict[str, Any] = {**environment(), **clock_facts()}
    ticks = steal_ticks()
    worker = (workers or ProcessWorkers()).start(environment={}, fresh=True)
    try:
        facts |= _device_facts(worker, device)
        console.print(f"measuring {device} for about {seconds + 10:.0f} s …", highlight=False)
        ceilings = next(iter(_ask(worker, device, "ceilings", usable_cores())))["ceilings"]
        noise = _noise(worker, device, seconds)
    finally:
        worker.close()
    facts["steal_share"] = steal_share(ticks, steal_ticks())
    facts["clocks"] = ceilings.get("clocks", {})
    hints = advice(facts, noise)
    _render(console, device, facts, ceilings, noise, hints)
    if json_path is not None:
        whole = {
            "device": device,
            "facts": facts,
            "ceilings": ceilings,
            "noise": [asdict(n) for n in noise],
            "advice": hints,
        }
        json_path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return EXIT_INCONCLUSIVE if noise[0].complaint else EXIT_AS_EXPECTED


def _device_facts(worker: Worker, device: str) -> dict[str, Any]:
    # every message up to the last must be taken, or the next job would find it
    facts = next(iter(list(worker.request({"job": "device"}, timeout_s=_TIMEOUT_S))), {})
    cuda = list(facts.get("cuda", ()))
    if device.startswith("cuda") and int(device.partition(":")[2] or 0) >= len(cuda):
        raise NothingToRunError(f"no {device} here; use: python -m harness doctor --device cpu")
    return {"cuda": cuda, "torch": facts.get("torch")}


def _noise(worker: Worker, device: str, seconds: float) -> list[Noise]:
    """Noise with all threads, then with one where that is fewer: on a busy machine the two are worlds apart."""
    threads = [1] if device.startswith("cuda") or usable_cores() == 1 else [usable_cores(), 1]
    found = []
    for count in threads:
        share = seconds * (0.65 if count == threads[0] and len(threads) > 1 else 0.35 if len(threads) > 1 else 1.0)
        message = next(iter(_ask(worker, device, "noise", count, seconds=share, max_rounds=_MOST_ROUNDS)))
        rounds = max(1, len(message["noise"]["baseline"]))
        # three arms were sampled; a cell has two
        found.append(
            analyse(message["noise"], threads=count, round_seconds=message["sampled_seconds"] / rounds * 2 / 3)
        )
    return found


def _ask(worker: Worker, device: str, task: str, threads: int, **more: Any) -> list[dict[str, Any]]:
    job = {
        "job": "machine", "tasks": [task], "device": device, "threads": threads, "dtypes": DTYPES, "matrices": True,
        "cache_bytes": last_level_cache_bytes(), **more,
    }  # fmt: skip
    messages = list(worker.request(job, timeout_s=_TIMEOUT_S + more.get("seconds", 0.0)))
    for message in messages:
        if "internal" in message:
            raise InternalError(f"while measuring {task}: {message['internal']}", message["traceback"])
    return messages


def _render(
    console: Console, device: str, facts: Mapping[str, Any], ceilings: Mapping[str, Any], noise: Sequence[Noise],
    hints: Sequence[str],
) -> None:  # fmt: skip
    _machine(console, facts)
    _ceilings(console, device, ceilings)
    for one in noise:
        _noise_table(console, one)
    for hint in hints:
        console.print(f"advice: {hint}", markup=False, highlight=False, soft_wrap=True)
    if noise[0].complaint:
        others = [one for one in noise[1:] if not one.complaint]
        console.print("[bold red]too noisy[/]: ", end="", highlight=False)
        console.print(f"speed verdicts here are worth nothing now: {noise[0].complaint}", markup=False, highlight=False)
        if others:
            console.print(f"with {others[0].threads} thread the machine is quiet enough", markup=False, highlight=False)
    else:
        seen = min(noise[0].spent, key=lambda row: abs(row.seconds - 1.0))
        console.print(
            f"[green]quiet enough[/]: a slowdown of {seen.detectable:.1%} can be seen in {seen.seconds:g} s per cell",
            highlight=False,
        )


def _machine(console: Console, facts: Mapping[str, Any]) -> None:
    packages = ", ".join(f"{name} {version}" for name, version in (facts.get("packages") or {}).items() if version)
    clocks = facts.get("mhz") or []
    allocator = facts.get("allocator") or {}
    lines = {
        "processor": f"{facts.get('processor')}, {facts.get('cores')} cores, "
        f"{(facts.get('last_level_cache_bytes') or 0) / 2**20:.0f} MiB last-level cache",
        "clock": f"{min(clocks, default=0):.0f}–{max(clocks, default=0):.0f} MHz, "
        f"governor {facts.get('governor') or 'unknown'}, "
        f"timer resolution {time.get_clock_info('perf_counter').resolution * 1e9:.0f} ns",
        "load": f"{', '.join(f'{value:.2f}' for value in facts.get('load_average') or [])} (1, 5, 15 minutes); "
        f"stolen by the host {facts.get('steal_share', 0.0):.1%}",
        "allocator": f"{allocator.get('name')}, "
        f"transparent huge pages {allocator.get('transparent_huge_pages') or 'unknown'}",
        "GPU": ", ".join(str(one.get("name")) for one in facts.get("cuda") or []) or "none",
        "GPU clocks": json.dumps(facts.get("clocks")) if facts.get("clocks") else "",
        "versions": f"Python {platform.python_version()}, {packages}",
    }
    for name, text in lines.items():
        if text:
            console.print(f"{name:<11}{text}", markup=False, highlight=False, soft_wrap=True)


def _ceilings(console: Console, device: str, ceilings: Mapping[str, Any]) -> None:
    table = Table(title=f"ceilings of {device}, {ceilings['threads']} threads, GB/s", title_justify="left", box=None)
    for name in ("where", "dtype", "read", "write", "copy"):
        table.add_column(name, justify="left" if name in ("where", "dtype") else "right")
    for level in ("memory", "cache"):
        for dtype, rates in ceilings[level]["dtypes"].items():
            table.add_row(level, dtype, *(f"{rates[key] / 1e9:.1f}" for key in ("read", "write", "copy")))
    console.print(table)
    more = [
        f"matrix product {dtype} {rate / 1e12:.3g} TFLOP/s" for dtype, rate in ceilings.get("flops_per_s", {}).items()
    ]
    if "page_fault_ns" in ceilings:
        more.append(f"a page's first touch {ceilings['page_fault_ns'] / 1e3:.2g} µs")
    console.print("; ".join(more), markup=False, highlight=False)


def _noise_table(console: Console, noise: Noise) -> None:
    console.print(
        f"noise with {noise.threads} thread{'s' if noise.threads > 1 else ''}: "
        f"a round's A/A ratio spreads by {noise.sigma:.2%}; raw times by {noise.raw_sigma:.1%}, "
        f"of whose sign the next round shares {max(0.0, noise.drift):.0%}; "
        f"5 % more rows took {noise.planted:.1%} longer",
        markup=False, highlight=False,
    )  # fmt: skip
    table = Table(box=None)
    for name in ("seconds a cell", "rounds", "false alarms", "5 % found", "smallest slowdown seen"):
        table.add_column(name, justify="right")
    for row in noise.spent:
        table.add_row(
            f"{row.seconds:g}", str(row.rounds), f"{row.false_alarms:.1%} of {row.windows}", f"{row.found:.0%}",
            f"{row.detectable:.1%}",
        )  # fmt: skip
    console.print(table)
