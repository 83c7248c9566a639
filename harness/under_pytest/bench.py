"""Judge and time single cells on demand, with the runner's own judge and timer."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.case import Case
from harness.core.implementation import Implementation
from harness.core.outcome import JUDGED, TIMED, Outcome
from harness.core.status import Status
from harness.hardware.host import environment
from harness.losses.catalogue import families
from harness.runner.asked import Asked
from harness.runner.build import build_plan, cases_of
from harness.runner.events import Silent
from harness.runner.judging import MAX_TIMEOUTS, Judge
from harness.runner.own import know_losses
from harness.runner.plan import Plan
from harness.runner.record import NoSink, Record
from harness.runner.timing import CHECK, Timer
from harness.store import Run, Samples
from harness.suite.load import load_cells
from harness.suite.model import Suite
from harness.under_pytest.workers import KeptWorkers, LeanWorkers
from harness.worker.process import ProcessWorkers, Workers


class Kept(NoSink):
    """A sink that keeps samples and facts of the whole run; outcomes are in the record already."""

    def __init__(self) -> None:
        self.samples: dict[str, list[Samples]] = defaultdict(list)
        self.header: dict[str, Any] = {}

    def append_samples(
        self, cell: str, samples_ns: Mapping[str, Sequence[float]], calls_per_sample: Mapping[str, int], half: int = 0
    ) -> None:
        """Keep the samples of one cell from one of the processes that sampled it."""
        kept = {name: tuple(values) for name, values in samples_ns.items()}
        rounds = max((len(values) for values in kept.values()), default=0)
        found = Samples(cell=cell, samples_ns=kept, calls_per_sample=dict(calls_per_sample), rounds=rounds, half=half)
        self.samples[cell].append(found)

    def update_header(self, **values: Any) -> None:
        """Keep facts of the whole run."""
        self.header.update(values)


class Bench:
    """One suite on this machine: its plan, and what is known of its cells so far."""

    def __init__(self, suite: Suite, plan: Plan, workers: Workers) -> None:
        self.suite, self.plan = suite, plan
        self._workers, self._kept = workers, KeptWorkers(workers)
        self._facts = Kept()
        self._record = Record(self._facts, Silent())
        self._judging = ""
        self._timer: Timer | None = None
        self._environment = environment()
        self._timeouts: Counter[str] = Counter()
        self._judge_with: dict[tuple[str, str], list[Case]] = defaultdict(list)
        self._rivals: dict[Case, list[str]] = defaultdict(list)

    def select(self, implementation: Implementation, case: Case, *, kind: str) -> None:
        """Tell that this cell will be asked for: cells of the same inputs are judged, and rivals timed, together."""
        if kind == TIMED:
            self._rivals[case].append(implementation.name)
        else:
            self._judge_with[implementation.name, case.inputs_key].append(case)

    def judged(self, implementation: Implementation, case: Case) -> Sequence[Outcome]:
        """The verdicts on one cell, asked for now unless they are there."""
        checks = self.plan.checks_for(case)
        if not all(self._record.has(case.cell, implementation.name, JUDGED, check) for check in checks):
            self._judge(implementation, case)
        return self._record.judged(case.cell, implementation.name)

    def timed(self, implementation: Implementation, case: Case) -> Outcome:
        """The timing of one cell, done now (for all selected rivals at once) unless it is there."""
        if not self._record.has(case.cell, implementation.name, TIMED, CHECK):
            wanted = {self.plan.baseline(case).name, implementation.name, *self._rivals[case]}
            for rival in self.plan.implementations:
                if rival.name in wanted:
                    self.judged(rival, case)
            self._end_judging()
            if self._timer is None:
                self._timer = Timer(self.plan, self._workers, self._record, Silent())
            self._timer.time(case)
        wanted_key = (case.cell, implementation.name, TIMED, CHECK)
        return next(outcome for outcome in self._record.outcomes if outcome.key == wanted_key)

    def samples(self, case: Case) -> Sequence[Samples]:
        """The samples of one cell, one entry per process that sampled; empty where it was not timed."""
        return self._facts.samples.get(case.cell, ())

    def sampled_again(self, case: Case) -> Sequence[Samples]:
        """Samples of one cell from two more processes; what is kept of it stays as it is."""
        self.close()
        facts = Kept()
        judged = [o for o in self._record.outcomes if o.kind == JUDGED and o.case == case]
        timer = Timer(self.plan, self._workers, Record(facts, Silent(), judged), Silent())
        try:
            timer.time(case)
        finally:
            timer.close()
        return facts.samples.get(case.cell, ())

    def run(self) -> Run:
        """What a run folder would hold of this session, without outcomes."""
        baselines = {loss: one.name for loss, one in self.plan.baselines.items()}
        suite = {"name": self.suite.name, "baseline": self.suite.baseline, "baselines": baselines}
        header = {"suite": suite, "environment": self._environment, "settings": asdict(self.plan.settings)}
        return Run(
            path=self.suite.source,
            header={**header, "devices": {"cuda": list(self.plan.cuda)}, **self._facts.header},
            outcomes=(),
        )

    def close(self) -> None:
        """End every worker; the next question starts new ones."""
        self._end_judging()
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def _judge(self, implementation: Implementation, case: Case) -> None:
        """Judge the wanted cells of the same inputs, in the worker that serves this implementation."""
        if implementation.name != self._judging:
            self._end_judging()
            self._judging = implementation.name
        cases = tuple(dict.fromkeys([*self._judge_with[implementation.name, case.inputs_key], case]))
        plan = replace(self.plan, questions=MappingProxyType({c: self.plan.checks_for(c) for c in cases}))
        if self._timeouts[implementation.name] >= MAX_TIMEOUTS:
            self._give_up(implementation, cases)
            return
        Judge(plan, self._kept, self._record, Silent()).judge(implementation)
        for judged in cases:
            found = self._record.judged(judged.cell, implementation.name)
            self._timeouts[implementation.name] += any(o.status is Status.TIMED_OUT for o in found)

    def _give_up(self, implementation: Implementation, cases: Sequence[Case]) -> None:
        reason = f"not asked: {MAX_TIMEOUTS} cells had timed out before (limits: seconds_per_call in the suite)"
        for case in cases:
            for check in self.plan.checks_for(case):
                outcome = Outcome(
                    case=case, implementation=implementation.name, kind=JUDGED, check=check, status=Status.SKIPPED,
                    reason=reason,
                )  # fmt: skip
                self._record.add(outcome)

    def _end_judging(self) -> None:
        # an idle worker's thread pool would slow the one that is timed
        self._kept.end()
        self._judging = ""


def open_bench(path: Path, asked: Asked, workers: Workers | None = None) -> Bench:
    """The bench of the suite file ``path``; implementations are described by a worker, nothing is judged yet.

    Raises:
        SuiteError: the suite file is wrong.
        UnknownReferenceError: an implementation or the baseline is unknown.
    """
    lean = LeanWorkers(workers or ProcessWorkers())
    know_losses(path, asked.implementations, lean, Path.cwd())
    suite = load_cells(path, families())
    plan, _ = build_plan(suite, cases_of(suite, asked), asked, lean, Path.cwd())
    return Bench(suite, plan, lean)
