"""Time some cells of an earlier run once more, as they were timed then, keeping the samples and nothing else."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.losses.catalogue import families
from harness.runner.asked import Asked
from harness.runner.build import build_plan, cases_of
from harness.runner.events import Listener
from harness.runner.record import NoSink, Record
from harness.runner.run import execute
from harness.store.samples import Samples
from harness.suite.model import Suite
from harness.worker.process import Workers


class KeptSamples(NoSink):
    """Keeps raw samples in memory."""

    def __init__(self) -> None:
        self.samples: list[Samples] = []

    def append_samples(
        self, cell: str, samples_ns: Mapping[str, Sequence[float]], calls_per_sample: Mapping[str, int], half: int = 0
    ) -> None:
        """Keep one half of a cell."""
        rounds = max((len(values) for values in samples_ns.values()), default=0)
        series = {name: tuple(values) for name, values in samples_ns.items()}
        self.samples.append(
            Samples(cell=cell, samples_ns=series, calls_per_sample=dict(calls_per_sample), rounds=rounds, half=half)
        )


def suite_and_asked(header: Mapping[str, Any]) -> tuple[Suite, Asked]:
    """The suite of a run and what its command line added, from the run's header.

    Raises:
        UsageError: the header lacks them.
    """
    from harness.suite.schema import suite_of
    from harness.suite.yaml_text import parse_document

    try:
        source, text, values = header["suite"]["source"], header["suite"]["text"], dict(header.get("asked") or {})
    except (KeyError, TypeError):
        raise UsageError("run.json lacks the suite that was run, and with it the budgets of the gate") from None
    for name in ("implementations", "cells", "checks", "shard"):
        values[name] = tuple(values[name]) if values.get(name) else (None if name == "shard" else ())
    return suite_of(parse_document(text, Path(source)), families()), Asked(**values)


def time_again(
    header: Mapping[str, Any], wanted: Collection[tuple[str, str]], workers: Workers, listener: Listener, cwd: Path
) -> list[Samples]:
    """Fresh samples of the (cell, implementation) pairs ``wanted``, each cell judged shortly before it is timed."""
    suite, asked = suite_and_asked(header)
    cells, names = {cell for cell, _ in wanted}, {name for _, name in wanted}
    cases = [case for case in cases_of(suite, asked) if case.cell in cells]
    plan, _ = build_plan(suite, cases, replace(asked, only="speed"), workers, cwd)
    kept = tuple(one for one in plan.implementations if one.name in names or one in plan.baselines.values())
    sink = KeptSamples()
    execute(replace(plan, implementations=kept), workers, Record(sink, listener), listener)
    return sink.samples
