"""What one of the two processes that time a cell is asked to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.core.case import Case, case_to_dict
from harness.core.implementation import Implementation, implementation_to_dict
from harness.core.outcome import Outcome
from harness.core.status import Status
from harness.runner.figures import Half
from harness.runner.plan import Plan
from harness.stats.roofline import has_copy
from harness.stats.sign import rounds_for_interval
from harness.suite.model import CELL_CHECKS

#: Each cell is sampled in so many fresh processes: what one shows and another does not is no property of a kernel.
HALVES = 2
#: The file of samples stays below 16 MiB for 2,000 cells; compressed, a sample takes about so many bytes.
_FILE_BYTES, _BYTES_PER_SAMPLE = 15 << 20, 2.4
_MOST_ROUNDS, _FEWEST_ROUNDS = 640, 100


def half_job(
    plan: Plan, case: Case, rivals: Sequence[Implementation], index: int, halves: Sequence[Half], mark: Path,
    held: Mapping[str, Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    """The job of process ``index``; ``halves`` is what the processes before it have found, ``held`` the checks that
    each rival passed in this cell."""
    settings, timing = plan.settings, plan.settings.timing
    assert timing is not None
    return {
        "job": "time", "half": index, "case": case_to_dict(case),
        "implementations": [implementation_to_dict(rival) for rival in rivals],
        "baseline": plan.baseline(case).name, "held": {name: list(checks) for name, checks in held.items()},
        "grade": settings.grade,
        "threads": settings.threads, "cache_bytes": settings.cache_bytes, "mark": str(mark), **timing,
        "max_seconds": timing["max_seconds"] / HALVES,
        "min_rounds": rounds_for_interval(timing["confidence"]),
        "copy": has_copy(case, plan.families[case.loss].cost(case)),
        # the copy's samples are kept, too
        "max_rounds": rounds_kept(len(plan.timed_cases()), len(rivals) + 1),
        # the rounds of both halves make the interval, so each may be wider by the root of two
        "target_relative_width": timing["target_relative_width"] * HALVES**0.5,
        # one calibration serves both: samples of one cell are of one length
        "calls": dict(halves[0].calls) if halves else None,
        "contended": bool(halves and halves[0].shared.get("contended")),
    }  # fmt: skip


def held_checks(plan: Plan, case: Case, rival: Implementation, judged: Sequence[Outcome]) -> list[str]:
    """The cell checks that ``rival`` passed in ``case`` and for which neither it nor torch declares a difference there.

    Timed calls have their rows in another order, in which a declared difference may show that did not when judged. NaN
    and infinities are with `agreement` and `gradient` where `stability` was not asked.
    """
    told = [outcome for outcome in judged if outcome.check in CELL_CHECKS and not outcome.variant]
    passed = [outcome.check for outcome in told if outcome.status is Status.PASSED]
    unasked = [] if any(outcome.check == "stability" for outcome in told) else ["stability"]
    torch = plan.torch.get(case.loss)
    declared = (*rival.expect, *(torch.expect if torch is not None else ()))
    return [check for check in (*passed, *unasked) if not any(one.may_cover(check, case) for one in declared)]


def rounds_kept(cells: int, arms: int) -> int:
    """Most rounds of one process, so that the samples of all ``cells`` of ``arms`` arms each fit into their file."""
    fitting = int(_FILE_BYTES / (_BYTES_PER_SAMPLE * HALVES * max(1, cells) * max(1, arms)))
    return max(_FEWEST_ROUNDS, min(_MOST_ROUNDS, fitting))
