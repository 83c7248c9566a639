"""Whether a candidate's run departs from the baseline by more than rounding explains. numpy, no torch.

Let d_k(t) be how far perturbed or float64 run k is from the baseline at step t. A candidate may be

    FACTOR · max over k and s ≤ t of d_k(s)

away at step t. The perturbed runs stand at the edge of what a sound float32 loss may answer at every step, so FACTOR
covers only that five runs are not all runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.training.names import BASELINE, FLOAT64, PERTURBATIONS, PLANTED, planted_name

FACTOR = 4.0
#: Of float32 sums that all runs share; keeps an allowance of exactly 0 from accusing the last bit.
_ROUNDOFF = 2.0**-24

Run = Mapping[str, np.ndarray]
WHAT = {"losses": "loss curve", "norms": "gradient norms", "weights": "final weights", "logits": "held-out logits"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How far one observable of a run is from the baseline's: the worst error, what is allowed there, and the step.

    ``ratio`` is error ÷ allowed; ``step`` is the first step at which it exceeds 1, else that of the worst ratio; None
    for what exists only at the end.
    """

    observable: str
    error: float
    allowed: float
    ratio: float
    step: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The reference runs of one setup by name; ``sees`` is the smallest planted error of the gradient that is caught.

    ``sees`` is None where none of them is, so that no verdict means anything.
    """

    runs: Mapping[str, Run]
    sees: float | None

    @property
    def baseline(self) -> Run:
        """The oracle-backed run in float32."""
        return self.runs[BASELINE]


def reference_of(runs: Mapping[str, Run]) -> Reference:
    """The reference of ``runs``, with what it can see."""
    blind = Reference(runs=runs, sees=None)
    caught = [epsilon for epsilon in PLANTED if worst(departures(runs[planted_name(epsilon)], blind)).ratio > 1]
    return Reference(runs=runs, sees=min(caught, default=None))


def departures(run: Run, reference: Reference) -> tuple[Departure, ...]:
    """How far ``run`` is from the baseline: loss curve, gradient norms, final weights, held-out logits, accuracy."""
    base = reference.baseline
    spread = [reference.runs[name] for name in (*PERTURBATIONS, FLOAT64)]
    curves = [_curve(name, run, base, spread) for name in ("losses", "norms")]
    weights = _at_end("weights", *(_distances("weights", run, base, spread)))
    logits = _at_end("logits", *(_largest("logits", run, base, spread)))
    return (*curves, weights, logits, _accuracy(run, base, logits.allowed))


def worst(found: Sequence[Departure]) -> Departure:
    """The departure with the largest ratio."""
    return max(found, key=lambda one: one.ratio)


def load_runs(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """A file of traces, by run; a single run goes by the empty name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            run, _, name = key.rpartition(".")
            found.setdefault(run, {})[name] = file[key]
    return found


def _curve(name: str, run: Run, base: Run, spread: Sequence[Run]) -> Departure:
    if len(run[name]) != len(base[name]):
        return Departure(observable=name, error=np.inf, allowed=0.0, ratio=np.inf, step=len(run[name]))
    away = np.abs(run[name] - base[name])
    reach = np.maximum.accumulate(np.max([np.abs(one[name] - base[name]) for one in spread], axis=0))
    allowed = FACTOR * reach + _ROUNDOFF * np.abs(base[name])
    ratio = _ratios(away, allowed)
    beyond = np.flatnonzero(~(ratio <= 1))
    at = int(beyond[0]) if len(beyond) else int(np.argmax(ratio))
    return Departure(
        observable=name, error=float(away[at]), allowed=float(allowed[at]), ratio=float(np.max(ratio)), step=at
    )


def _distances(name: str, run: Run, base: Run, spread: Sequence[Run]) -> tuple[float, float, float]:
    size = float(np.linalg.norm(base[name]))
    return _norm(run[name], base[name]), max(_norm(one[name], base[name]) for one in spread), size


def _largest(name: str, run: Run, base: Run, spread: Sequence[Run]) -> tuple[float, float, float]:
    def apart(one: Run) -> float:
        return float(np.max(np.abs(one[name] - base[name]), initial=0.0))

    return apart(run), max(map(apart, spread)), float(np.max(np.abs(base[name]), initial=0.0))


def _norm(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.linalg.norm(one - other))


def _at_end(name: str, error: float, reach: float, size: float) -> Departure:
    allowed = FACTOR * reach + _ROUNDOFF * size
    ratio = float(_ratios(np.asarray([error]), np.asarray([allowed]))[0])
    return Departure(observable=name, error=error, allowed=allowed, ratio=ratio, step=None)


def _accuracy(run: Run, base: Run, allowed_logits: float) -> Departure:
    """Held-out answers may differ only where the baseline's two largest logits are closer than logits may move."""
    error = abs(float(run["accuracy"]) - float(base["accuracy"]))
    logits = base["logits"]
    if logits.shape[1] < 2 or not len(logits):
        return Departure(
            observable="accuracy", error=error, allowed=0.0, ratio=0.0 if error == 0 else np.inf, step=None
        )
    two = np.partition(logits, -2, axis=1)[:, -2:]
    open_ = np.count_nonzero(two[:, 1] - two[:, 0] <= 2 * allowed_logits) / len(logits)
    # both are shares of one count: a thousandth of one example keeps their last bits out of it
    slack = 1e-3 / len(logits)
    ratio = 0.0 if error <= slack else error / (open_ + slack)
    return Departure(observable="accuracy", error=error, allowed=open_, ratio=ratio, step=None)


def _ratios(away: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """away ÷ allowed, with 0 ÷ 0 = 0 and everything that is not finite beyond all bounds."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(away == 0.0, 0.0, away / allowed)
    return np.where(np.isnan(ratio), np.inf, ratio)
