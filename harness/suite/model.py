"""What a validated suite file says: plain frozen nouns, no pydantic inside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from harness.core.case import Scalar
from harness.suite.workloads import TrainingEntry

#: Name → summary of every check a suite may ask for.
CHECKS: Mapping[str, str] = MappingProxyType(
    {
        "agreement": "the loss agrees with the oracle within the budget of the required grade",
        "gradient": "the gradient agrees with the oracle, entry by entry and region by region",
        "stability": "NaN and infinities stand exactly where the truth has them, and other rows are unaffected",
        "grad_output": "any gradient from above, any strides, once or twice, every subset of requires_grad",
        "options": "products of reduction, class weights, ignore_index, label smoothing and kind of target",
        "ignored": "ignored rows may go, come, move or spoil and nothing else moves; N = 0, N = 1, C = 1",
        "layout": "strided, padded, sliced, unaligned and expanded inputs, and target dtypes, change nothing",
        "sizes": "numbers of classes around tile edges, primes and odd ones, far targets, more rows than a grid holds",
        "relations": "how the loss must change when its inputs change in a known way: shifts, permutations, parts",
        "precision": "half precision has only its final rounding's error at large N and C, and under autocast",
        "targets": "invalid targets raise as torch does, and leave no trace in the calls after them",
        "large_index": "offsets above 2^31 elements are right, forward and backward, down to the last row",
        "side_effects": "inputs, process state and memory are as before the call; results are the caller's own",
        "repeatability": "an answer depends on its inputs alone: no earlier calls, freed memory, place in the batch",
        "honesty": "nothing games the harness: no replayed answers, work put off, replaced clocks or judges",
        "composition": "inside compile, checkpointing, autocast and CUDA graphs it agrees, or refuses with an error",
    }
)
#: Checks that judge every cell of a suite, and what a suite asks that names none; the others bring cells of their own.
CELL_CHECKS = ("agreement", "gradient", "stability")
#: Accuracy grades, strictest first.
GRADES = ("relative", "tight", "standard")
CACHES = ("cold", "warm")
#: A larger suite is refused: it would run for days, and is nearly always a slip.
MAX_CELLS = 100_000
#: The axis that stands for batch, classes and the trailing sizes together.
SHAPE = "shape"

#: One value of an axis; the axis ``shape`` has tuples (N, C, d1, …), or (N, H, C, …) for linear losses.
AxisValue = Scalar | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long to time: until the interval of the ratio is narrow, or the seconds for one cell are spent.

    ``target_relative_width`` is the width of the ratio's interval divided by the ratio; ``cache`` is ``cold`` (each
    call reads inputs that the last-level cache no longer holds) or ``warm``. ``cuda_graph``: on CUDA, record the calls
    and time their replay, without what the host takes to issue them.
    """

    target_relative_width: float = 0.02
    max_seconds_per_cell: float = 5.0
    cache: str = "cold"
    cuda_graph: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What the cells and implementations that two globs name are held to; None: not by this entry.

    ``max_slowdown`` and ``max_memory_growth`` are ratios new ÷ old, ``min_speedup`` the least ratio to the baseline,
    ``max_seconds_per_call`` (median) and ``max_peak_bytes`` absolute: they hold whatever the run is compared with.
    """

    cell: str = "*"
    implementation: str = "*"
    max_slowdown: float | None = None
    max_memory_growth: float | None = None
    min_speedup: float | None = None
    max_seconds_per_call: float | None = None
    max_peak_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """When a run counts as a regression against another.

    ``max_slowdown`` and ``max_memory_growth`` are ratios new ÷ old (None: not gated); ``confidence`` is that of the
    intervals; ``min_speedup`` maps an implementation to the least speedup over the baseline it must keep. ``budgets``
    go before these for the cells they name; of several that name a cell the last one counts, figure by figure.
    """

    max_slowdown: float = 1.05
    confidence: float = 0.99
    max_memory_growth: float | None = None
    min_speedup: Mapping[str, float] = field(default_factory=dict[str, float])
    budgets: tuple[Budget, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one call may take: seconds before it is ended, bytes above which a cell is skipped (None: the machine's)."""

    seconds_per_call: float = 120.0
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of ``cases``: the product of ``axes``, each a name with its values in the file's order.

    ``key`` and ``line`` say where it stands in the file (``cases[0]``, 1-based line).
    """

    loss: str
    axes: tuple[tuple[str, tuple[AxisValue, ...]], ...]
    key: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A validated suite file.

    ``checks`` is empty for ``none``; ``timing`` is None for ``none`` (cells are judged only). ``text`` is the file as
    read, kept in the run folder. :func:`harness.suite.expand` makes the cases of ``entries``; ``training`` holds the
    workloads to train.
    """

    name: str
    description: str
    baseline: str
    implementations: tuple[str, ...]
    checks: tuple[str, ...]
    entries: tuple[Entry, ...]
    timing: Timing | None
    grade: str
    gate: Gate
    limits: Limits
    source: Path
    text: str
    training: tuple[TrainingEntry, ...] = ()
