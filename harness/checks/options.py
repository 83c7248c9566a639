"""``options``: what single options get right, their products must too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from harness.checks.evidence import Evidence
from harness.checks.trial import Sweep, bare, sweep_seconds, thorough
from harness.core.case import REDUCTIONS, Case
from harness.core.outcome import Verdict


def options(evidence: Evidence) -> Iterator[Verdict]:
    """Every product of values of the options that the cell sets, form before values; one verdict over all of them."""
    combinations = list(_combinations(evidence.case))
    sweep = Sweep(evidence, "options", seconds=sweep_seconds(evidence, 2.0), least=1)
    for case in combinations:
        sweep.ask(_name(case), case)
    yield sweep.verdict(len(combinations))


def _combinations(case: Case) -> Iterator[Case]:
    """Cells with the same options set as ``case`` has, in all their values."""
    everything, plain = thorough(case), bare(case)
    weights = ("zeros", "skewed", "uniform") if everything else ("zeros",)
    smoothings = (0.1, 1.0)
    # negative, in range, above C, and in range without any row that it drops: its class stays in the denominator
    sentinels = ((-100, 0.25), (3, 0.25), (case.classes + 5, 0.25), (3, 0.0), (-1, 0.25))
    for weight, smoothing, (sentinel, ignored), reduction in product(
        weights if case.weight != "none" else ("none",),
        smoothings if case.label_smoothing else (0.0,),
        sentinels if case.ignored else ((-100, 0.0),),
        REDUCTIONS,
    ):
        yield replace(
            plain, weight=weight, label_smoothing=smoothing, ignore_index=sentinel, ignored=ignored, reduction=reduction
        )


def _name(case: Case) -> str:
    """The options of ``case`` in words."""
    parts = [f"reduction={case.reduction}"]
    parts += [f"weight={case.weight}"] if case.weight != "none" else []
    parts += [f"ignore_index={case.ignore_index}"] if case.ignored or case.ignore_index != -100 else []
    parts += [f"label_smoothing={case.label_smoothing:g}"] if case.label_smoothing else []
    return ", ".join(parts)
