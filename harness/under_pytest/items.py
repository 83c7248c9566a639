"""The kinds of item in a suite file: a cell judged, a cell timed, and a declared difference that must show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.case import Case
from harness.core.errors import HarnessError
from harness.core.expectation import Expectation
from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import ADMITTED, FAULTS, Status, worst
from harness.registry.sources import PACKAGE
from harness.report.gate import INCONCLUSIVE, REGRESSION
from harness.report.text import plain
from harness.under_pytest.bench import Bench
from harness.under_pytest.gate import Gate, GateVerdict
from harness.under_pytest.replay import Replay, per_call, play
from harness.under_pytest.telling import ItemFailure, verdicts_text

#: Figures of the worst verdict that go into the report of an item (and with it into JUnit XML).
PROPERTIES = ("error", "budget", "ratio", "region", "ulp_error", "grade", "seed", "reproduce")


class _Told(pytest.Item):
    """What the kinds share: where pytest says that they are, and a failure told in words alone."""

    @property
    def id(self) -> Any:
        """The id as pytest (9.2 and later) reads it back from its cache: the bracket is the parameter."""
        return type(self.session.id).parse(self.nodeid)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The text of a failure alone; anything unforeseen with its traceback."""
        error = excinfo.value
        return str(error) if isinstance(error, ItemFailure | HarnessError) else super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where pytest says that the item is."""
        return self.path, 0, self.name


class JudgedItem(_Told):
    """One cell and implementation: passes, fails, is skipped, or differs as declared (a strict expected failure)."""

    bench: Bench
    implementation: Implementation
    case: Case

    def select(self) -> None:
        """Tell the bench that this cell will be asked for."""
        self.bench.select(self.implementation, self.case, kind=JUDGED)

    def runtest(self) -> None:
        """Judge the cell and pass on what came of it."""
        outcomes = self.bench.judged(self.implementation, self.case)
        status = worst(outcome.status for outcome in outcomes)
        shown = [outcome for outcome in outcomes if outcome.status is status]
        self.user_properties += _properties(shown[0])
        if status in FAULTS:
            raise ItemFailure(verdicts_text([outcome for outcome in outcomes if outcome.status in FAULTS]))
        if any(outcome.status is Status.DECLARED for outcome in outcomes):
            pytest.xfail(plain(next(o.reason for o in outcomes if o.status is Status.DECLARED)))
        if not any(outcome.status is Status.PASSED for outcome in outcomes):
            pytest.skip(f"{status.value}: {plain(shown[0].reason)}")


class DeclaredItem(_Told):
    """One declared difference: it must show in at least one of the suite's cells that its condition covers.

    Strictness belongs here and not to each cell: a condition like ``regime=confident`` says where a difference may
    show, not that every cell there is wrong.
    """

    bench: Bench
    implementation: Implementation
    expectation: Expectation
    cases: tuple[Case, ...]

    def select(self) -> None:
        """Nothing to tell: the covered cells are asked for one by one."""

    def runtest(self) -> None:
        """Judge the covered cells until the difference shows."""
        held = 0
        for case in self.cases:
            for outcome in self.bench.judged(self.implementation, case):
                if outcome.status not in ADMITTED or not self._covers(outcome):
                    continue
                held += 1
                if outcome.status is Status.DECLARED and not outcome.reason.startswith("as torch"):
                    pytest.xfail(f"shows as declared on {outcome.cell}: {plain(self.expectation.reason)}")
        if not held:
            pytest.skip("its condition held in no verdict of this suite")
        if _is_bundled(self.implementation):
            pytest.skip(f"showed in none of {held} verdicts here; a bundled implementation declares for all suites")
        raise ItemFailure(
            f"[XPASS(strict)] stale: {plain(self.implementation.name)} declares {plain(self.expectation.text)}, its "
            f"condition held in {held} verdicts and it showed in none\n  declared: {plain(self.expectation.reason)}"
        )

    def _covers(self, outcome: Outcome) -> bool:
        region = str(outcome.metrics.get("region", ""))
        return self.expectation.covers(outcome.check, outcome.case, outcome.variant, region)


class TimedItem(_Told, pytest.Function):
    """One cell and implementation timed; a Function, so that pytest-benchmark takes it as one of its own."""

    bench: Bench
    implementation: Implementation
    case: Case
    gate: Gate
    replay: Replay

    @classmethod
    def of(cls, parent: pytest.File, bench: Bench, implementation: Implementation, case: Case, gate: Gate) -> TimedItem:
        """The item of one cell and implementation; it asks for the ``benchmark`` fixture where that plugin is there."""
        has_benchmark = parent.config.getoption("benchmark_only", None) is not None
        name = f"{case.cell}[{plain(implementation.name)}:timing]"
        item = cls.from_parent(parent, name=name, callobj=_with_benchmark if has_benchmark else _without_benchmark)
        item.bench, item.implementation, item.case, item.gate = bench, implementation, case, gate
        item.replay = Replay()
        item.add_marker("timed")
        if has_benchmark:
            item.add_marker(pytest.mark.benchmark(group=case.cell, timer=item.replay.clock))
        return item

    def select(self) -> None:
        """Tell the bench who is to be timed together."""
        self.bench.select(self.implementation, self.case, kind=TIMED)

    def runtest(self) -> None:
        """Time the cell (once for all rivals) and hand the samples on."""
        outcome = self.bench.timed(self.implementation, self.case)
        samples = self.bench.samples(self.case)
        benchmark = self.funcargs.get("benchmark")
        if outcome.status in FAULTS:
            failure = ItemFailure(verdicts_text([outcome]))
            if benchmark is not None:
                benchmark.pedantic(_raiser(failure))  # a fixture that is not used warns
            raise failure
        if outcome.status not in ADMITTED or not per_call(samples, outcome.implementation):
            pytest.skip(f"{outcome.status.value}: {plain(outcome.reason)}")
        if benchmark is not None:
            play(benchmark, self.replay, outcome, samples)
        self._hold(self.gate.verdict(self.bench, outcome))

    def _hold(self, found: GateVerdict | None) -> None:
        if found is None:
            return
        self.user_properties.append(("gate", f"{found.verdict}: {found.reason}"))
        if found.verdict == REGRESSION or (found.verdict == INCONCLUSIVE and self.gate.strict):
            raise ItemFailure(
                f"{found.verdict}: {plain(self.implementation.name)} · {self.case.cell}\n  {found.reason}"
            )


def _is_bundled(implementation: Implementation) -> bool:
    source = Path(implementation.reference.partition(":")[0])
    return any(source.is_relative_to(folder) for folder in (PACKAGE.parent / "implementations", PACKAGE / "bundled"))


def _properties(outcome: Outcome) -> list[tuple[str, object]]:
    metrics = outcome.metrics
    return [("cell", outcome.cell), ("implementation", outcome.implementation), ("check", outcome.check)] + [
        (name, metrics[name]) for name in PROPERTIES if name in metrics
    ]


def _raiser(failure: Exception) -> Callable[[], None]:
    def target() -> None:
        raise failure

    return target


def _with_benchmark(benchmark: Any) -> None:
    """Shows pytest which fixture a timed item uses; :meth:`TimedItem.runtest` does the work."""


def _without_benchmark() -> None:
    """Stands in where pytest-benchmark is not installed."""
