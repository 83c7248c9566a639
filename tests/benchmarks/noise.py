"""False alarms and power of the sampler on this machine, beside whatever else runs on it.

    python -m tests.benchmarks.noise [--cells 300] [--burners 0] [--folder DIR] [--seconds S]

Each cell has four arms in interleaved rounds: a baseline, its twin, and the baseline with 3 % and with 5 % more rows
(real work; nothing sleeps). Each is sampled in two fresh processes, as `run` does, 0.5 s for each pair of arms and
process: 1 s per cell and pair. `--burners N` adds N processes that alternate bursts of arithmetic, copying and rest.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from statistics import median

from harness.core.case import Case
from harness.stats.interval import RatioSummary, log_ratios, summarise_logs

SHAPES = ((200, 1000), (400, 500), (1000, 100), (100, 4000), (100, 2000))
PASSES = ("forward_no_grad", "forward_backward")
PLANTS = {"twin": 1.0, "+3 %": 1.03, "+5 %": 1.05}
SECONDS_PER_PAIR_AND_HALF = 0.5
#: Of each half's intervals: so narrow that the seconds are used.
WIDTH = 0.01
#: A small ring: the machine's noise is the question here, and 300 rings of 70 MB take longer than the samples.
CACHE_BYTES = 4 << 20
#: Each process samples so many cells; a kill loses those of one process at most.
CELLS_PER_PROCESS = 20
FILE, LOADS = "samples.jsonl", "loads.txt"


def cells(count: int) -> list[Case]:
    """``count`` cells: five shapes, two passes, and seeds."""
    kinds = list(product(SHAPES, PASSES))
    return [
        Case(batch=shape[0], classes=shape[1], pass_=pass_, seed=index // len(kinds))
        for index, (shape, pass_) in ((i, kinds[i % len(kinds)]) for i in range(count))
    ]


def sample_half(asked: range, half: int, out: Path) -> None:
    """One process: sample each cell asked for and append the per-call times of its arms, a line per cell."""
    import torch

    from harness.timing.contention import interrupted, is_contended, shortened
    from harness.timing.sampler import Hooks, SamplerSettings, sample_arms
    from harness.timing.selfcheck import arms_of_rows

    torch.set_num_threads(1)
    known = cells(asked.stop)
    with out.open("a") as stream:
        for index in asked:
            arms = arms_of_rows(known[index], {"baseline": 1.0, **PLANTS}, cache_bytes=CACHE_BYTES)
            for arm in arms.values():
                arm(1)
            settings = SamplerSettings(
                target_relative_width=WIDTH, max_seconds=SECONDS_PER_PAIR_AND_HALF * len(arms) / 2
            )
            short = is_contended(arms["baseline"])
            # held against the time inside the clocks: what others take between two samples is not the cell's
            samples = sample_arms(
                arms, "baseline", shortened(settings) if short else settings, seed=2 * index + half,
                now_ns=lambda arms=arms: sum(sum(arm.meter.wall_ns) for arm in arms.values()),
                hooks=Hooks(interrupted=interrupted(arms)),
            )  # fmt: skip
            line = {
                "cell": index, "half": half, "short": short, "seconds": samples.sampled_ns / 1e9,
                "times": {name: [round(value) for value in samples.per_call_ns(name)] for name in arms},
            }  # fmt: skip
            stream.write(json.dumps(line) + "\n")
            stream.flush()


@contextlib.contextmanager
def burning(count: int) -> Iterator[None]:
    """``count`` processes of bursty load, ended on the way out."""
    context = multiprocessing.get_context("spawn")
    burners = [context.Process(target=_burn, args=(index,), daemon=True) for index in range(count)]
    for burner in burners:
        burner.start()
    try:
        yield
    finally:
        for burner in burners:
            burner.terminate()
            burner.join()


def _burn(seed: int) -> None:
    import random

    draw = random.Random(seed)
    block = bytearray(32 << 20)
    while True:
        until = time.perf_counter() + draw.uniform(0.01, 0.3)
        while time.perf_counter() < until:
            bytes(block)
            sum(range(20_000))
        # a gap between bursts; the arms under test never rest
        time.sleep(draw.uniform(0.01, 0.3))


def summaries(halves: list[list[dict]], arm: str) -> list[RatioSummary]:
    """The summary of ``arm`` in each cell, from both processes."""
    found = []
    for pair in zip(*halves, strict=True):
        logs = [log_ratios(half["times"]["baseline"], half["times"][arm]) for half in pair]
        found.append(summarise_logs([half for half in logs if half]))
    return found


def report(halves: list[list[dict]], burners: int, loads: tuple[float, float]) -> str:
    """The outcome as Markdown."""
    count = len(halves[0])
    pair_seconds = [sum(half["seconds"] for half in pair) * 2 / (1 + len(PLANTS)) for pair in zip(*halves, strict=True)]
    short = sum(half["short"] for side in halves for half in side) / (2 * count)
    rounds = median(len(half["times"]["baseline"]) for side in halves for half in side)
    lines = [
        f"{count} cells, two processes each, one thread, median {median(pair_seconds):.2f} s of samples per pair of "
        f"arms (at most {max(pair_seconds):.2f}), median {rounds:.0f} rounds in a process; {os.cpu_count()} cores, "
        f"load {loads[0]:.1f} to {loads[1]:.1f}, {burners} burners of our own; samples were shortened further in "
        f"{short:.0%} of the halves.",
        "",
        "| arm | slower | faster | same | ambiguous | median ratio | σ of a round | smallest slowdown seen |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in PLANTS:
        found = summaries(halves, name)
        verdicts = Counter(one.verdict for one in found)
        lines.append(
            f"| {name} | {verdicts['slower']} | {verdicts['faster']} | {verdicts['same']} | {verdicts['ambiguous']} "
            f"| {1 / median(one.speedup for one in found):.4f} | {median(one.sigma for one in found):.2%} "
            f"| {median(one.detectable for one in found):.2%} |"
        )
    return "\n".join(lines)


def sampled(folder: Path) -> dict[tuple[int, int], dict]:
    """What the folder holds: (cell, half) → its line."""
    lines = (folder / FILE).read_text().splitlines() if (folder / FILE).exists() else []
    return {(line["cell"], line["half"]): line for line in map(json.loads, lines)}


def go_on(count: int, folder: Path, until_s: float) -> None:
    """Sample what is missing, a few cells by one process and then by another, until ``time.monotonic()`` is past."""
    for start in range(0, count, CELLS_PER_PROCESS):
        wanted = range(start, min(count, start + CELLS_PER_PROCESS))
        for half in (0, 1):
            missing = [index for index in wanted if (index, half) not in sampled(folder)]
            if missing and time.monotonic() < until_s:
                asked = f"{missing[0]}:{missing[-1] + 1}:{half}"
                command = [sys.executable, "-m", "tests.benchmarks.noise", "--one", asked, "--folder", str(folder)]
                subprocess.run(command, check=True)
        with (folder / LOADS).open("a") as stream:
            stream.write(f"{os.getloadavg()[0]:.2f}\n")


def main() -> None:
    """Sample cells until all are there or the seconds are spent; print the table of all that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--burners", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("results/noise"), help="samples; a later call goes on here")
    parser.add_argument("--seconds", type=float, default=3600.0, help="start nothing new after so many")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one is not None:
        first, end, half = map(int, asked.one.split(":"))
        sample_half(range(first, end), half, asked.folder / FILE)
        return
    asked.folder.mkdir(parents=True, exist_ok=True)
    with burning(asked.burners):
        go_on(asked.cells, asked.folder, time.monotonic() + asked.seconds)
    found = sampled(asked.folder)
    whole = [cell for cell in range(asked.cells) if (cell, 0) in found and (cell, 1) in found]
    if not whole:
        raise SystemExit("no cell was sampled by both processes yet: give more --seconds")
    loads = [float(line) for line in (asked.folder / LOADS).read_text().split()]
    print(report([[found[cell, half] for cell in whole] for half in (0, 1)], asked.burners, (min(loads), max(loads))))


if __name__ == "__main__":
    main()
