"""What the harness itself costs, shown and not asserted: `pytest tests/benchmarks --benchmark-enable -s`.

Aims: `--help` at once, less than 30 ms per judged and per timed cell beyond the calls, a parent below 200 MB.
"""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace

import pytest

from harness.core.case import Case
from harness.core.implementation import Implementation
from harness.runner.record import NoSink, Record
from harness.runner.run import execute
from harness.runner.survey import survey
from tests.conftest import plan_of
from tests.fakes import FakeWorkers, Recorded

pytestmark = pytest.mark.slow
TIMING = {"target_relative_width": 0.5, "max_seconds": 0.1, "cache": "warm", "confidence": 0.99}
PARENT = (
    "import harness.cli, harness.commands.run, harness.report.export, harness.report.terminal;"
    "text = open('/proc/self/status').read();"
    "print(int(text.split('VmHWM:')[1].split()[0]) * 1024)"
)


@pytest.mark.parametrize("arguments", [["--help"], ["list", "suites"]], ids=["help", "list suites"])
def test_the_command_line_answers_at_once(benchmark, arguments):
    command = [sys.executable, "-m", "harness", *arguments]
    benchmark.pedantic(lambda: subprocess.run(command, check=True, capture_output=True), rounds=3)


def test_what_the_parent_weighs(benchmark):
    done = subprocess.run([sys.executable, "-c", PARENT], check=True, capture_output=True, text=True)
    benchmark.extra_info["parent_rss_bytes"] = int(done.stdout)
    print(f"\nparent with everything imported: {int(done.stdout) / 1e6:.0f} MB")
    benchmark(lambda: None)


def test_what_the_parent_takes_per_cell(benchmark):
    cases = [Case(batch=n, classes=4) for n in range(1, 51)]
    names = [Implementation(name=name, loss="cross_entropy", reference=f"m:{name}") for name in ("base", "rival")]

    def run():
        execute(plan_of(cases, names, timing=TIMING), FakeWorkers(), Record(NoSink(), Recorded()), Recorded())

    benchmark.pedantic(run, rounds=1)
    started = time.perf_counter()
    run()
    print(f"\nparent: {(time.perf_counter() - started) / 200 * 1e3:.2f} ms per judged or timed outcome")


def test_what_workers_take_per_cell_beyond_the_calls(benchmark, workers, plugins):
    """Small cells, so that hardly anything but the harness takes time: judged alone, then timed as well."""
    chosen = survey(workers, ("torch",), plugins).select(("torch",))
    cases = [Case(batch=n, classes=4, pass_="forward") for n in range(1, 41)]
    plan = plan_of(cases, list(chosen), checks=("agreement",))

    def seconds(one):
        record, started = Record(NoSink(), Recorded()), time.perf_counter()
        execute(one, workers, record, Recorded())
        took = time.perf_counter() - started
        calls = sum(o.metrics.get("sampled_seconds", 0.0) for o in record.outcomes)
        return took - calls

    few = replace(plan, cases=plan.cases[:2], questions=dict(list(plan.questions.items())[:2]))
    judged = (seconds(plan) - seconds(few)) / 38
    timed = {"timing": TIMING}
    both = seconds(replace(plan, settings=replace(plan.settings, **timed)))
    both_few = seconds(replace(few, settings=replace(few.settings, **timed)))
    per_timed = (both - both_few) / 38 - judged
    benchmark.extra_info.update({"judged_ms": 1e3 * judged, "timed_ms": 1e3 * per_timed})
    print(f"\nbeyond the calls: {1e3 * judged:.1f} ms per judged cell, {1e3 * per_timed:.1f} ms per timed cell")
    benchmark(lambda: None)
