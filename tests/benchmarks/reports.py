"""How long reports take: ``python -m tests.benchmarks.reports`` prints the figures that docs/reports.md quotes.

Runs are made up (no torch): 2,000 cells of two to four implementations, and many runs of 500 cells.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness
from harness.report.export import export
from tests.report.browser import CHROMIUM, Browser
from tests.report.synthetic import make_run, outcomes

NAMES = ("torch", "naive", "log_softmax_nll", "torch_compile")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=2000, help="cells of the run that is reported")
    parser.add_argument("--runs", type=int, default=100, help="runs that are loaded at once")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report(Path(folder), arguments.cells)
        load(Path(folder), arguments.runs)


def report(folder: Path, cells: int) -> None:
    """The page of one run, and how soon it can be used."""
    path = make_run(folder / "one", outcomes(cells, NAMES))
    page = timed(f"report, {cells} cells × {len(NAMES)} implementations", lambda: export(path, "html"))
    file = folder / "report.html"
    file.write_text(page, encoding="utf-8")
    print(f"  its size: {file.stat().st_size / 2**20:.2f} MiB")
    if CHROMIUM is None:
        print("  no Chromium here: how soon the page can be used was not measured")
        return
    with Browser() as browser:
        browser.window(1280, 900)
        browser.open(file)
        parsed, drawn = map(int, browser.value("document.documentElement.dataset.ready").split())
        print(f"  in Chromium: scripts began after {parsed} ms, figures and filters ready after {drawn} ms")
        began = time.perf_counter()
        browser.value(
            "(() => { const box = document.querySelectorAll('#filters select')[2]; box.value = '0';"
            "box.dispatchEvent(new Event('change')); return document.body.offsetHeight; })()"
        )
        print(f"  a filter takes {1e3 * (time.perf_counter() - began):.0f} ms")


def load(folder: Path, runs: int) -> None:
    """Many runs as one frame."""
    found = outcomes(500, NAMES[:1])
    for place in range(runs):
        make_run(folder / "many" / str(place), found)
    pattern = str(folder / "many" / "*" / "2*")
    frame = timed(f"load, {runs} runs × 500 cells", lambda: harness.load(pattern))
    print(f"  {len(frame)} rows")


def timed(what: str, work: Callable[[], Any]) -> Any:
    """Do ``work``, print its seconds by the clock and by the processor, and give its result."""
    wall, spent = time.perf_counter(), time.process_time()
    result = work()
    wall, spent = time.perf_counter() - wall, time.process_time() - spent
    print(f"{what}: {wall:.1f} s, of which {spent:.1f} s on the processor (load {os.getloadavg()[0]:.1f})")
    return result


if __name__ == "__main__":
    main()
