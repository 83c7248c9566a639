"""How soon a wrong implementation is told: ``python -m tests.benchmarks.fail_fast [--every 4] [--file FILE]``.

Runs ``python -m harness check MUTANT --fail-fast``, one after another, for every fourth mutant of a shuffled list, and
prints the seconds of whole commands (start of Python and torch included) as quantiles, and what was not caught. Each
result is a line of ``--file``; a later call with the same file goes on there.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import time
from pathlib import Path

from harness.core.status import EXIT_FAULT
from harness.mutants.catalogue import Mutant, mutants


def main() -> None:
    """Run what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=4, help="1 asks every mutant")
    parser.add_argument("--file", type=Path, default=Path("results/fail_fast.jsonl"))
    parser.add_argument("--seconds", type=float, default=3600.0, help="start nothing new after so many")
    asked = parser.parse_args()
    asked.file.parent.mkdir(parents=True, exist_ok=True)
    wanted = sample(asked.every)
    known = found(asked.file)
    until = time.monotonic() + asked.seconds
    for mutant in wanted:
        if mutant.name not in known and time.monotonic() < until:
            line = timed(mutant)
            print(f"{line['seconds']:6.1f} s, exit {line['exit']}: {mutant.name}", flush=True)
            with asked.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
    known = found(asked.file)
    print(report([known[mutant.name] for mutant in wanted if mutant.name in known], len(wanted)))


def sample(every: int) -> list[Mutant]:
    """Every so manieth mutant of a list in an order that has nothing to do with their groups."""
    everyone = sorted(mutants(), key=lambda mutant: mutant.name)
    random.Random(0).shuffle(everyone)
    return everyone[::every]


def timed(mutant: Mutant) -> dict[str, float | int | str]:
    """One command: its exit status and wall time in seconds."""
    command = [sys.executable, "-m", "harness", "check", mutant.reference, "--fail-fast", "--grade", mutant.grade]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return {"name": mutant.name, "exit": done.returncode, "seconds": time.perf_counter() - began}


def found(file: Path) -> dict[str, dict]:
    """Name → its line."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {line["name"]: line for line in map(json.loads, lines)}


def report(lines: list[dict], wanted: int) -> str:
    """The outcome in one paragraph."""
    if not lines:
        return "nothing was run: give more --seconds"
    seconds = sorted(line["seconds"] for line in lines)
    at = {share: seconds[min(len(seconds) - 1, int(share * len(seconds)))] for share in (0.5, 0.9, 0.95)}
    missed = [line["name"] for line in lines if line["exit"] != EXIT_FAULT]
    return (
        f"{len(lines)} of {wanted} mutants: {len(lines) - len(missed)} caught; median {at[0.5]:.1f} s, "
        f"90 % within {at[0.9]:.1f} s, 95 % within {at[0.95]:.1f} s, longest {seconds[-1]:.1f} s"
        + (f"; not caught: {', '.join(missed)}" if missed else "")
    )


if __name__ == "__main__":
    main()
