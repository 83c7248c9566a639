"""A suite file as a collector of items."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from harness.core.case import Case
from harness.core.errors import HarnessError
from harness.core.expectation import Expectation
from harness.core.implementation import Implementation
from harness.core.status import FAULTS
from harness.report.text import plain
from harness.runner.asked import Asked
from harness.under_pytest.bench import Bench, open_bench
from harness.under_pytest.gate import Gate, stored
from harness.under_pytest.items import DeclaredItem, JudgedItem, TimedItem

SUFFIXES = (".yaml", ".yml")


def is_suite(path: Path) -> bool:
    """Whether the YAML file ``path`` has a top-level ``suite:`` key."""
    from harness.suite.yaml_text import top_value

    return top_value(path.read_text(encoding="utf-8", errors="replace"), "suite") is not None


def is_asked_for(path: Path, config: pytest.Config, session: pytest.Session) -> bool:
    """Whether ``path`` was named on the command line, or matches a glob of the ini option ``harness_suites``."""
    if session.isinitpath(path):
        return True
    globs: list[str] = config.getini("harness_suites")
    if not globs or not path.is_relative_to(config.rootpath):
        return False
    relative = path.relative_to(config.rootpath).as_posix()
    return any(fnmatchcase(relative, pattern) for pattern in globs)


class SuiteFile(pytest.File):
    """A suite file; its items share one bench, which ends its workers when pytest leaves the file."""

    bench: Bench | None = None

    def collect(self) -> Iterator[pytest.Item]:
        """Judged cells by implementation, then declared differences, then timed cells."""
        try:
            self.bench = open_bench(self.path, _asked(self.config))
            gate = _gate(self.config, self.bench)
        except HarnessError as error:
            raise self.CollectError(str(error)) from None
        for implementation in self.bench.plan.implementations:
            for case in self.bench.plan.questions:
                yield _judged(self, self.bench, implementation, case)
            yield from _declared(self, self.bench, implementation)
        yield from _timed(self, self.bench, gate)

    def teardown(self) -> None:
        """End the workers."""
        if self.bench is not None:
            self.bench.close()


def _judged(parent: SuiteFile, bench: Bench, implementation: Implementation, case: Case) -> JudgedItem:
    item = JudgedItem.from_parent(parent, name=f"{case.cell}[{plain(implementation.name)}]")
    item.bench, item.implementation, item.case = bench, implementation, case
    item.add_marker("judged")
    settled = bench.plan.settled(implementation, case)
    if settled is not None and settled[0] not in FAULTS:
        item.add_marker(pytest.mark.skip(reason=f"{settled[0].value}: {plain(settled[1])}"))
    return item


def _declared(parent: SuiteFile, bench: Bench, implementation: Implementation) -> Iterator[DeclaredItem]:
    for expectation in implementation.expect:
        cases = tuple(case for case in bench.plan.questions if _may_show(bench, implementation, expectation, case))
        if cases:
            name = f"declared/{plain(expectation.text)}[{plain(implementation.name)}]"
            item = DeclaredItem.from_parent(parent, name=name)
            item.bench, item.implementation, item.expectation, item.cases = bench, implementation, expectation, cases
            item.add_marker("judged")
            yield item


def _may_show(bench: Bench, implementation: Implementation, expectation: Expectation, case: Case) -> bool:
    """Whether the declared difference may show in ``case``, as far as that can be said before it is judged."""
    if bench.plan.settled(implementation, case) is not None:
        return False
    known = [condition for condition in expectation.conditions if condition.axis not in ("region", "variant")]
    checks = [check for check in bench.plan.checks_for(case) if any(fnmatchcase(check, c) for c in expectation.checks)]
    return bool(checks) and all(condition.holds(case) for condition in known)


def _timed(parent: SuiteFile, bench: Bench, gate: Gate) -> Iterator[TimedItem]:
    for case in bench.plan.timed_cases():
        for implementation in bench.plan.implementations:
            if bench.plan.settled(implementation, case) is None:
                item = TimedItem.of(parent, bench, implementation, case, gate)
                reason = _untimed(parent.config)
                if reason:
                    item.add_marker(pytest.mark.skip(reason=reason))
                yield item


def _untimed(config: pytest.Config) -> str:
    """Why nothing is timed in this session; empty where it is."""
    if hasattr(config, "workerinput"):
        return "timing needs the machine to itself: not under pytest-xdist, where pytest-benchmark is disabled too"
    if config.getoption("benchmark_disable", False) and not config.getoption("benchmark_enable", False):
        return "--benchmark-disable was given"
    return ""


def _asked(config: pytest.Config) -> Asked:
    return Asked(
        implementations=tuple(config.getoption("harness_implementation") or ()),
        device=config.getoption("harness_device"),
        grade=config.getoption("harness_grade"),
    )


def _gate(config: pytest.Config, bench: Bench) -> Gate:
    path = config.getoption("harness_baseline")
    old = None if path is None else stored(Path(path), bench.suite.name, bench.run().header)
    return Gate(old=old, strict=config.getoption("harness_inconclusive") == "fail")
