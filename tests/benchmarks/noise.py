"""False alarms and power of the sampler on this machine, beside whatever else runs on it.

    python -m tests.benchmarks.noise [--cells 300] [--burners 0] [--out FILE]

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
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from statistics import median

from harness.core.case import Case
from harness.stats.interval import RatioSummary, log_ratios, summarise_logs

SHAPES = ((200, 1000), (400, 500), (1000, 100), (100, 4000), (1000, 1000))
PASSES = ("forward_no_grad", "forward_backward")
PLANTS = {"twin": 1.0, "+3 %": 1.03, "+5 %": 1.05}
SECONDS_PER_PAIR_AND_HALF = 0.5
#: A small ring: the machine's noise is the question here, and 300 rings of 70 MB take longer than the samples.
CACHE_BYTES = 4 << 20


def cells(count: int) -> list[Case]:
    """``count`` cells: five shapes, two passes, and seeds."""
    kinds = list(product(SHAPES, PASSES))
    return [
        Case(batch=shape[0], classes=shape[1], pass_=pass_, seed=index // len(kinds))
        for index, (shape, pass_) in ((i, kinds[i % len(kinds)]) for i in range(count))
    ]


def sample_half(count: int, half: int, out: Path) -> None:
    """One process: sample every cell and write the per-call times of each arm, a line per cell."""
    import torch
    import torch.nn.functional as F

    from harness.inputs.build import build_inputs
    from harness.timing.arm import Arm
    from harness.timing.contention import is_contended, shortened, undisturbed
    from harness.timing.ring import make_ring
    from harness.timing.sampler import Hooks, SamplerSettings, sample_arms

    torch.set_num_threads(1)
    with out.open("w") as stream:
        for case in cells(count):
            arms = {}
            for factor in (1.0, *sorted(set(PLANTS.values()) - {1.0})):
                asked = replace(case, batch=round(case.batch * factor))
                inputs = build_inputs(asked)
                ring = make_ring(inputs, cache="cold", cache_bytes=CACHE_BYTES, requires_grad=case.needs_gradient)
                names = [n for n, f in PLANTS.items() if f == factor] + (["baseline"] if factor == 1.0 else [])
                arms |= {name: Arm(F.cross_entropy, asked, ring, inputs.grad_output) for name in names}
            for arm in arms.values():
                arm(1)
            settings = SamplerSettings(
                target_relative_width=0.02 * 2**0.5, max_seconds=SECONDS_PER_PAIR_AND_HALF * len(arms) / 2
            )
            if is_contended(arms["baseline"]):
                settings = shortened(settings)
            samples = sample_arms(
                arms, "baseline", settings, seed=2 * case.seed + half, now_ns=time.perf_counter_ns,
                hooks=Hooks(undisturbed=undisturbed(arms.values())),
            )  # fmt: skip
            line = {name: samples.per_call_ns(name) for name in arms}
            spent = samples.sampled_ns / 1e9
            stream.write(json.dumps({"times": line, "seconds": spent, "short": settings.sample_ns < 1e6}) + "\n")
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
    lines = [
        f"{count} cells, two processes each, one thread, median {median(pair_seconds):.2f} s of samples per pair of "
        f"arms (at most {max(pair_seconds):.2f}); {os.cpu_count()} cores, load {loads[0]:.1f} at the start and "
        f"{loads[1]:.1f} at the end, {burners} burners of our own; samples were shortened in {short:.0%} of "
        "the halves.",
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


def main() -> None:
    """Run both halves one after the other, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--burners", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--half", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.half is not None:
        sample_half(asked.cells, asked.half, asked.out)
        return
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, burning(asked.burners):
        halves = []
        for half in (0, 1):
            file = Path(folder) / f"{half}.jsonl"
            command = [sys.executable, "-m", "tests.benchmarks.noise", "--cells", str(asked.cells), "--half", str(half)]
            subprocess.run([*command, "--out", str(file)], check=True)
            halves.append([json.loads(line) for line in file.read_text().splitlines()])
    text = report(halves, asked.burners, (before, os.getloadavg()[0]))
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
