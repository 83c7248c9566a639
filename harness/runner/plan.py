"""The plan of a run: which implementation is asked on which cells, and which are settled before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from harness.checks.catalogue import Questions
from harness.core.case import INTERPRETER, Case
from harness.core.family import Family
from harness.core.implementation import Implementation
from harness.core.status import Status
from harness.hardware.interpreter import interpreter_reason
from harness.registry.support import device_kind, unsupported_reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run asks of every cell: checks, grade, limits, and how to time (``timing`` None: judge only)."""

    checks: tuple[str, ...]
    grade: str
    timing: Mapping[str, Any] | None
    seconds_per_call: float
    memory_bytes: int
    threads: int
    cache_bytes: int
    fail_fast: bool = False
    thorough: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Cases and implementations of a run.

    ``cases`` are the suite's; ``questions`` say which checks are asked on which cells, the cells that checks bring
    themselves included. ``baselines`` are by loss: one is timed in every cell of its loss, and they are among
    ``implementations`` when anything is timed. ``torch`` is torch's own implementation of each loss.
    """

    cases: tuple[Case, ...]
    questions: Questions
    implementations: tuple[Implementation, ...]
    baselines: Mapping[str, Implementation]
    torch: Mapping[str, Implementation]
    families: Mapping[str, Family]
    cuda: tuple[Mapping[str, Any], ...]
    settings: Settings

    def baseline(self, case: Case) -> Implementation:
        """What the times of ``case`` are compared with."""
        return self.baselines[case.loss]

    def concerns(self, implementation: Implementation, case: Case) -> bool:
        """Whether ``case`` is of the implementation's loss; where the plan has none such, all cells are told so."""
        return implementation.loss == case.loss or all(implementation.loss != one.loss for one in self.questions)

    def settled(self, implementation: Implementation, case: Case) -> tuple[Status, str, str | None] | None:
        """(status, reason, traceback) of a cell that need not run for ``implementation``; None when it must run."""
        family = self.families[case.loss]
        refusal = family.refusal(case)
        if refusal is not None:
            return Status.SKIPPED, refusal, None
        if implementation.failed is not None:
            return Status(implementation.failed_status), implementation.failed, implementation.traceback
        if implementation.unavailable is not None:
            return Status.UNAVAILABLE, implementation.unavailable, None
        unsupported = unsupported_reason(implementation, case, family)
        if unsupported is not None:
            return Status.UNSUPPORTED, unsupported, None
        missing = device_reason(case.device, self.cuda)
        if missing is not None:
            return Status.UNAVAILABLE, missing, None
        short = self._short_of_memory(case, family)
        return None if short is None else (Status.SKIPPED, short, None)

    def groups(self, implementation: Implementation) -> list[tuple[Case, ...]]:
        """The cells that ``implementation`` must be asked for, those of one set of inputs together."""
        mine = [case for case in self.questions if self.concerns(implementation, case)]
        asked = [case for case in mine if self.settled(implementation, case) is None]
        return [tuple(cases) for _, cases in groupby(asked, key=lambda case: case.inputs_key)]

    def checks_for(self, case: Case) -> tuple[str, ...]:
        """The checks that give a verdict on ``case``."""
        return self.questions.get(case, ())

    def timed_cases(self) -> list[Case]:
        """Cells to be timed: all but the interpreter's, whose time says nothing about a kernel."""
        if self.settings.timing is None:
            return []
        return [case for case in self.cases if case.device != INTERPRETER]

    def _short_of_memory(self, case: Case, family: Family) -> str | None:
        needed, limit, where = family.memory(case), self.settings.memory_bytes, "memory here"
        if device_kind(case.device) == "cuda":
            index = int(case.device.partition(":")[2] or 0)
            limit, where = int(self.cuda[index]["memory_bytes"]), f"on {case.device}"
        if needed <= limit:
            return None
        return f"needs {needed / 2**30:.1f} GiB of {limit / 2**30:.1f} {where}"


def device_reason(device: str, cuda: Sequence[object]) -> str | None:
    """Why ``device`` cannot be used here; None when it can."""
    kind = device_kind(device)
    if kind == "cuda":
        index = int(device.partition(":")[2] or 0)
        if not cuda:
            return "no CUDA device here"
        if index >= len(cuda):
            return f"no {device} here, only {len(cuda)} CUDA device{'s' if len(cuda) > 1 else ''}"
    return interpreter_reason() if device == INTERPRETER else None


def on_device(cases: Iterable[Case], device: str) -> tuple[Case, ...]:
    """``cases`` with their device replaced, each cell once."""
    from dataclasses import replace

    return tuple({case.cell: case for case in (replace(case, device=device) for case in cases)}.values())


def shard(cases: Sequence[Case], index: int, count: int) -> tuple[Case, ...]:
    """Part ``index`` (from 1) of ``count``: sets of inputs are dealt out in turn and never split."""
    groups = [tuple(group) for _, group in groupby(cases, key=lambda case: case.inputs_key)]
    return tuple(case for group in groups[index - 1 :: count] for case in group)
