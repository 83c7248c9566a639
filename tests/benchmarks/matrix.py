"""The matrix of ``selftest --thorough`` in pieces: ``python -m tests.benchmarks.matrix [--file FILE] [--seconds S]``.

Asks every mutant every check, which takes more than an hour on 2 cores, a few mutants at a time; each that is done is a
line of ``--file``, and a later call goes on there. Prints the matrix of all mutants that are there, as Markdown.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from harness.hardware.host import usable_cores
from harness.losses.catalogue import families
from harness.mutants.catalogue import Mutant, mutants
from harness.mutants.matrix import matrix_lines
from harness.mutants.results import Result
from harness.mutants.selftest import JUDGE_SUITE, plan_selftest
from harness.mutants.stand import make_stand
from harness.suite.load import load_suite
from harness.worker.process import ProcessWorkers

#: Asked together; a kill loses these at most.
AT_ONCE = 4


def main() -> None:
    """Ask what is missing, then print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file", type=Path, default=Path("results/matrix.jsonl"))
    parser.add_argument("--seconds", type=float, default=7200.0, help="start nothing new after so many")
    asked = parser.parse_args()
    asked.file.parent.mkdir(parents=True, exist_ok=True)
    until = time.monotonic() + asked.seconds
    missing = [mutant for mutant in mutants() if mutant.name not in known(asked.file)]
    for start in range(0, len(missing), AT_ONCE):
        if time.monotonic() < until:
            keep(asked.file, missing[start : start + AT_ONCE])
    found = known(asked.file)
    results = [result for mutant in mutants() for result in revived(mutant, found.get(mutant.name, {}))]
    print("\n".join(matrix_lines(results)))


def keep(file: Path, chosen: list[Mutant]) -> None:
    """Ask ``chosen`` every check and append a line for each: check → reason of the fault, empty where it escaped."""
    workers = ProcessWorkers()
    named, _, _ = plan_selftest(None, thorough=True, only=chosen)
    stand = make_stand(load_suite(JUDGE_SUITE, families()), chosen, workers)
    results = stand.judge_all(named, usable_cores(), lambda result: None)
    with file.open("a", encoding="utf-8") as stream:
        for mutant in chosen:
            own = [result for result in results if result.subject is mutant and not result.untested]
            checks = {result.question: result.faults[0].reason[:200] if result.faults else "" for result in own}
            stream.write(json.dumps({"name": mutant.name, "checks": checks}) + "\n")


def known(file: Path) -> dict[str, dict[str, str]]:
    """Name → what each check found."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {line["name"]: line["checks"] for line in map(json.loads, lines)}


def revived(mutant: Mutant, checks: dict[str, str]) -> list[Result]:
    """The results behind one line, as far as the matrix needs them: a fault stands for all of its check."""
    return [
        Result(subject=mutant, question=check, faults=(reason,) if reason else (), asked=1, untested="", seconds=0.0)  # type: ignore[arg-type]
        for check, reason in checks.items()
    ]


if __name__ == "__main__":
    main()
