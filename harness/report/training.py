"""The table of training: how far each run departs from the oracle-backed baseline, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.outcome import Outcome
from harness.report.rows import Row, number
from harness.report.text import extras_text, plain, size

#: The check that outcomes of training go by.
CHECK = "training"
TITLE = "Training against the oracle-backed baseline"
HEAD = (
    "workload", "implementation", "outcome", "departure", "sees", "final loss", "accuracy", "examples/s", "peak",
)  # fmt: skip
NOTE = (
    "departure: largest distance from the baseline ÷ what rounding explains, above 1 fails; sees: least relative error "
    "of the gradient that is caught; examples/s are not interleaved, so an indication only"
)


def training_table(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """One line for each workload and implementation, in the order of the run; empty where nothing was trained."""
    return [_line(row, outcome) for row in rows for outcome in row.judged if outcome.check == CHECK]


def _line(row: Row, outcome: Outcome) -> tuple[str, ...]:
    def figure(name: str) -> float | None:
        return number(outcome.metrics, f"training_{name}")

    workload = " ".join(
        filter(None, (row.case.regime.partition(":")[2], f"C={row.case.classes}", extras_text(row.case)))
    )
    return (
        plain(workload), plain(row.implementation), outcome.status.value, _short(figure("ratio")),
        _short(figure("sees")), _of(figure("final_loss"), figure("baseline_final_loss")),
        _of(figure("accuracy"), figure("baseline_accuracy")), _short(figure("examples_per_s")),
        size(figure("peak_bytes")),
    )  # fmt: skip


def _of(value: float | None, baseline: float | None) -> str:
    """A value, with the baseline's where the two print differently."""
    return _short(value) if _short(value) == _short(baseline) else f"{_short(value)} ({_short(baseline)})"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
