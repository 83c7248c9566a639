"""pytest plugin: ``pytest suites/smoke.yaml`` judges and times a suite, one item per cell and implementation.

Costs nothing where no suite file is collected: everything but pytest is imported when one is.

PYTEST_DONT_REWRITE: it asserts nothing, and an inner session may find it imported already.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

_SUFFIXES = (".yaml", ".yml")
#: Items listed for one reason.
_MAX_TOLD = 5


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options and ini values of the harness."""
    group = parser.getgroup("harness", "loss harness (suite files)")
    group.addoption(
        "--harness-baseline",
        metavar="DIR",
        help="Hold speed against the run stored in DIR (a run folder, or a folder of them).",
    )
    group.addoption(
        "--harness-inconclusive", choices=("warn", "fail"), default="warn",
        help="What becomes of a timing that is neither clearly as fast as the stored one nor clearly slower.",
    )  # fmt: skip
    group.addoption(
        "--harness-implementation",
        action="append",
        metavar="REF",
        help="Judge this instead of the suite's list; repeatable.",
    )
    group.addoption("--harness-device", metavar="DEVICE", help="Run every cell on this device.")
    group.addoption("--harness-grade", choices=("relative", "tight", "standard"), help="The accuracy grade required.")
    parser.addini(
        "harness_suites", "Globs of suite files, relative to the root, that are collected without being named.",
        type="args", default=[],
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers."""
    config.addinivalue_line("markers", "judged: an item of a suite file that judges a cell (loss harness)")
    config.addinivalue_line("markers", "timed: an item of a suite file that times a cell (loss harness)")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """A suite file that was named on the command line or by ``harness_suites``; no other YAML file of a project."""
    if file_path.suffix not in _SUFFIXES:
        return None
    session = parent.session
    if not session.isinitpath(file_path) and not parent.config.getini("harness_suites"):
        return None
    from harness.under_pytest.collect import SuiteFile, is_asked_for, is_suite

    if not is_asked_for(file_path, parent.config, session) or not is_suite(file_path):
        return None
    return SuiteFile.from_parent(parent, path=file_path)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tell each bench what will be asked of it, after every deselection."""
    for item in session.items:
        select = getattr(item, "select", None)
        if getattr(item, "bench", None) is not None and select is not None:
            select()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """List timings on which the gate could not decide, or had nothing to go by: they passed, and must be seen."""
    told: dict[str, list[str]] = {}
    for report in (report for reports in terminalreporter.stats.values() for report in reports):
        for name, text in report.user_properties if getattr(report, "when", "") == "call" else ():
            if name == "gate" and str(text).startswith(("inconclusive", "new")):
                told.setdefault(str(text), []).append(report.nodeid)
    if told:
        terminalreporter.section("loss harness: timings that the gate did not decide", yellow=True)
    for text, nodeids in told.items():
        terminalreporter.line(text)
        for nodeid in nodeids[:_MAX_TOLD]:
            terminalreporter.line(f"    {nodeid}")
        if len(nodeids) > _MAX_TOLD:
            terminalreporter.line(f"    … and {len(nodeids) - _MAX_TOLD} more")
