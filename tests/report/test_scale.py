"""Reports grow in proportion to a run: nothing absolute is asserted but the size of files."""

from __future__ import annotations

import time

import harness
from harness.report.export import export
from tests.report.synthetic import IMPLEMENTATIONS, make_run, outcomes


def spent(work) -> float:
    """Processor seconds of the quickest of three."""
    found = []
    for _ in range(3):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def test_a_page_of_2000_cells_stays_below_6_megabytes(tmp_path):
    sizes = [len(str(export(make_run(tmp_path / str(n), outcomes(n)), "html")).encode()) for n in (60, 360)]
    assert sizes[0] + (2000 - 60) * (sizes[1] - sizes[0]) / 300 < 6e6
    assert len(IMPLEMENTATIONS) == 5


def test_loading_takes_time_in_proportion_to_the_runs(tmp_path):
    found = outcomes(60, ("torch", "naive"))
    for place in range(16):
        make_run(tmp_path / f"{place:02}", found)
    few, many = (spent(lambda at=at: harness.load(str(tmp_path / at / "2*"))) for at in ("0[0-3]", "*"))
    assert many < 3 * 4 * few
    assert len(harness.load(str(tmp_path / "*" / "2*"))) == 16 * 60 * 2


def test_a_report_takes_time_in_proportion_to_the_cells(tmp_path):
    small, large = (make_run(tmp_path / str(n), outcomes(n)) for n in (60, 360))
    assert spent(lambda: export(large, "html")) < 3 * 6 * spent(lambda: export(small, "html"))
