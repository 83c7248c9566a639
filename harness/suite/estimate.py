"""What a suite will cost, told before anything runs: cells, seconds and memory, all rough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.core.case import INTERPRETER, Case
from harness.core.family import Family
from harness.suite.model import Suite
from harness.suite.sizes import format_bytes

# Rough, measured on a 2-core machine: a judged cell costs its workers' round trip; drawing the inputs, the call and
# the oracle take 25 ns a logit for a loss, 100 ns with its gradient; Triton's interpreter milliseconds per row. The
# oracle's float64 products and those of the budgets are three times those of the loss itself, at 50 GFLOP/s.
_SECONDS_PER_CELL = 0.03
_SECONDS_PER_LOGIT = 25e-9
_SECONDS_PER_LOGIT_AND_GRADIENT = 100e-9
_SECONDS_PER_INTERPRETED_ROW = 5e-3
_SECONDS_PER_FLOP = 6e-11


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Size of a run: ``cells``, how many of them are ``refused`` and ``timed``, seconds, and peak bytes of one cell."""

    cells: int
    refused: int
    timed: int
    implementations: int
    judging_seconds: float
    timing_seconds: float
    peak_bytes: int

    @property
    def seconds(self) -> float:
        """Judging and timing together."""
        return self.judging_seconds + self.timing_seconds

    def line(self) -> str:
        """One line to print before a run."""
        refused = f" ({self.refused} without meaning)" if self.refused else ""
        parts = [f"judging about {_duration(self.judging_seconds)}"] if self.judging_seconds else []
        parts += [f"timing {self.timed} cells up to {_duration(self.timing_seconds)}"] if self.timed else []
        spent = ", ".join(parts) or "nothing to do"
        one = "" if self.implementations == 1 else "s"
        return (
            f"{self.cells:,} cells{refused} × {self.implementations} implementation{one}: {spent}; "
            f"memory up to {format_bytes(self.peak_bytes)}"
        )


def estimate(
    suite: Suite, cases: Sequence[Case], families: Mapping[str, Family], *, implementations: int,
    asked: Mapping[Case, int] | None = None,
) -> Estimate:  # fmt: skip
    """Rough cost of running ``cases`` of ``suite`` with so many ``implementations``; compilation not counted.

    ``asked`` tells how many implementations each case is put to, where it is known that some cannot be asked (another
    loss, no such device, too little memory); cases that are put to none cost nothing.
    """
    real = [case for case in cases if families[case.loss].refusal(case) is None]
    put = dict.fromkeys(real, implementations) if asked is None else asked
    run = [case for case in real if put.get(case, 0)]
    timed = [case for case in run if case.device != INTERPRETER] if suite.timing else []
    per_cell = suite.timing.max_seconds_per_cell if suite.timing else 0.0
    judged = sum(put[case] * _judging_seconds(case, families[case.loss]) for case in run) if suite.checks else 0.0
    return Estimate(
        cells=len(cases),
        refused=len(cases) - len(real),
        timed=len(timed),
        implementations=implementations,
        judging_seconds=judged,
        timing_seconds=len(timed) * per_cell,
        peak_bytes=max((families[case.loss].memory(case) for case in run), default=0),
    )


def _judging_seconds(case: Case, family: Family) -> float:
    per_logit = _SECONDS_PER_LOGIT_AND_GRADIENT if case.needs_gradient else _SECONDS_PER_LOGIT
    seconds = _SECONDS_PER_CELL + per_logit * case.elements + _SECONDS_PER_FLOP * family.cost(case).flops
    return seconds + (_SECONDS_PER_INTERPRETED_ROW * case.rows if case.device == INTERPRETER else 0.0)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
