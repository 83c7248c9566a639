"""What inputs can be asked for: regimes, targets, weights, layouts and upstream gradients, without torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.core.case import Case
from harness.core.errors import HarnessError, UnknownReferenceError
from harness.inputs.capture import capture_classes

CAPTURED = "captured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Regime:
    """A distribution of the logits.

    ``independent``: the entries of a row are drawn independently of each other and of the target, so that a
    probabilistic summation bound holds. ``dtypes`` are those it can be rounded to. ``min_classes`` and ``min_rows``
    are the least sizes at which it shows. ``argmax``: whether it keeps its meaning where the target is the largest
    logit.
    """

    name: str
    summary: str
    independent: bool = False
    dtypes: tuple[str, ...] = ("float64", "float32", "bfloat16", "float16")
    min_classes: int = 1
    min_rows: int = 0
    argmax: bool = True


_REGIMES = (
    Regime(name="normal", summary="standard normal draws", independent=True),
    Regime(name="small", summary="0.1 × standard normal, as published benchmarks draw", independent=True),
    Regime(name="uniform", summary="uniform in [0, 1)", independent=True),
    Regime(name="sigma10", summary="10 × standard normal", independent=True),
    Regime(name="equal", summary="every row constant: 0, 0.1, 1e4 or a draw of sigma 0.02 (loss log C)"),
    Regime(name="confident", summary="target above the others by log C + 12…25: softmax → 1 on it", min_classes=2),
    Regime(
        name="wrong",
        summary="another class above the rest by log C + 12…25, the target below",
        min_classes=2,
        argmax=False,
    ),
    Regime(name="near_one_hot_12", summary="target above the others by log C + 12", min_classes=2),
    Regime(name="near_one_hot_25", summary="target above by log C + 25: 1 + s rounds to 1 in float32", min_classes=2),
    Regime(name="near_one_hot_90", summary="target above by log C + 90: the loss is near 1e-39", min_classes=2),
    Regime(name="near_one_hot_12_other", summary="another class above by log C + 12", min_classes=2, argmax=False),
    Regime(name="near_one_hot_25_other", summary="another class above by log C + 25", min_classes=2, argmax=False),
    Regime(name="near_one_hot_90_other", summary="another class above by log C + 90", min_classes=2, argmax=False),
    Regime(name="offset", summary="normal, each row shifted by +1e4 or -1e4"),
    Regime(
        name="huge_offset", summary="target and one other equal at ±1e8 or ±1e30 (float16: ±32752), the rest 25 % lower"
    ),
    Regime(name="wide", summary="1e4 × standard normal, clipped to the dtype's range"),
    Regime(
        name="edge", summary="largest finite ±values of the dtype; the target holds the maximum, so the loss is finite"
    ),
    Regime(
        name="edge_wrong",
        summary="target at the lowest finite value, another class at the largest: the exact loss exceeds the dtype",
        min_classes=2,
        argmax=False,
    ),
    Regime(name="masked", summary="normal, -inf on half of the classes, the target kept", min_classes=2),
    Regime(name="masked_target", summary="normal, -inf on the target: loss +inf", min_classes=2, argmax=False),
    Regime(name="lone", summary="-inf on all classes but the target: loss exactly 0", min_classes=2),
    Regime(
        name="swamp",
        summary="0 at class 0, the others where exp is just below the accumulation roundoff",
        min_classes=2,
    ),
    Regime(name="sorted_ascending", summary="normal, each row sorted, smallest first"),
    Regime(name="sorted_descending", summary="normal, each row sorted, largest first"),
    Regime(name="ties", summary="normal, the target and one to three others tied at the maximum", min_classes=2),
    Regime(name="denormal", summary="±1…100 smallest subnormal numbers of the dtype (loss log C)"),
    Regime(
        name="nonfinite",
        summary="rows 1, 3, 5 of every 8 hold all -inf, one NaN, one +inf; the others are normal",
        min_rows=2,
    ),
    Regime(
        name=CAPTURED,
        summary="real logits with their targets: the bundled digits, or captured:FILE (.npz, .safetensors)",
    ),
)

#: Regime name → regime.
REGIMES: Mapping[str, Regime] = MappingProxyType({regime.name: regime for regime in _REGIMES})

#: Target kind → one-line summary.
TARGETS: Mapping[str, str] = MappingProxyType(
    {
        "uniform": "class indices drawn uniformly (captured regimes: the captured targets)",
        "zipf": "class k with probability proportional to 1 / (k + 1), as words are",
        "first": "class 0 in every row",
        "last": "class C - 1 in every row",
        "argmax": "the class of the row's largest logit, the first of ties",
        "probability": "class probabilities: softmax of log-exponential draws (uniform on the simplex)",
        "one_hot": "class probabilities: 1 on the class that `uniform` draws, 0 elsewhere",
    }
)

#: Kind of class weights → one-line summary.
WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "none": "no weights",
        "uniform": "uniform in [0.5, 1.5)",
        "zeros": "uniform in [0.5, 1.5), exactly 0 on a quarter of the classes (at least one, never all)",
        "skewed": "between 2^-9 and 2, log-uniform by octaves, as inverse class frequencies are",
    }
)

#: Layout of logits (and of probability targets) → one-line summary.
LAYOUTS: Mapping[str, str] = MappingProxyType(
    {
        "contiguous": "row-major, no gaps",
        "padded": "the class dimension padded to a multiple of 64 above C, NaN in the padding",
        "transposed": "(N, C): stored as (C, N); (N, C, d…): stored as (N, d…, C)",
        "sliced": "every second row of a larger tensor, NaN in the others; index targets likewise",
    }
)

#: Kind of upstream gradient → one-line summary.
GRAD_OUTPUTS: Mapping[str, str] = MappingProxyType(
    {
        "one": "ones",
        "random": "normal draws with entry 0 exactly 0; -2.5 for a scalar loss",
        "scaled": "a loss scale: 65536 (float64, float32) or 256 (bfloat16, float16)",
    }
)


def regime_names() -> tuple[str, ...]:
    """Names of all regimes; ``captured`` may be followed by ``:FILE``."""
    return tuple(REGIMES)


def find_regime(text: str) -> Regime:
    """The regime called ``text``; ``captured:FILE`` is ``captured``.

    Raises:
        UnknownReferenceError: there is no such regime.
    """
    name, colon, file = text.partition(":")
    if name in REGIMES and (not colon or (name == CAPTURED and file)):
        return REGIMES[name]
    close = difflib.get_close_matches(name, REGIMES, n=1)
    hint = f"; did you mean {close[0]}?" if close and close[0] != text else ""
    raise UnknownReferenceError(f"unknown regime {text!r}{hint}\n  allowed: {', '.join(REGIMES)}, captured:FILE")


def refusal(case: Case) -> str | None:
    """Why the inputs of ``case`` have no meaning, or None if they have one."""
    reason = _unknown(case) or _target_refusal(case) or _regime_refusal(case)
    if reason:
        return reason
    if case.weight == "zeros" and case.classes < 2:
        return "weight=zeros needs at least 2 classes: one zero, and not all of them"
    return None


def available_classes(case: Case) -> int:
    """Number of classes that a row not ignored may have as its target: C, less an in-range ignore_index."""
    return case.classes - (0 <= case.ignore_index < case.classes)


def _unknown(case: Case) -> str | None:
    axes = (("target", TARGETS), ("weight", WEIGHTS), ("layout", LAYOUTS), ("grad_output", GRAD_OUTPUTS))
    for axis, allowed in axes:
        if getattr(case, axis) not in allowed:
            return f"unknown {axis} {getattr(case, axis)!r}; allowed: {', '.join(allowed)}"
    try:
        find_regime(case.regime)
    except UnknownReferenceError as error:
        return str(error)
    return None


def _target_refusal(case: Case) -> str | None:
    if not 0 <= case.ignored <= 1:
        return f"ignored={case.ignored} is no share of the rows: 0 to 1"
    if case.target_kind == "probability":
        if case.ignored > 0:
            return f"target={case.target} has no class index, so no row of it can be ignored"
        if case.ignore_index >= 0:
            return f"target={case.target} has no class index, so ignore_index={case.ignore_index} has no meaning"
    if available_classes(case) == 0 and case.ignored < 1:
        return f"ignore_index={case.ignore_index} is the only class, so every row is ignored: say ignored=1.0"
    return None


def _regime_refusal(case: Case) -> str | None:
    regime = find_regime(case.regime)
    if case.classes < regime.min_classes:
        return f"regime={regime.name} needs at least {regime.min_classes} classes"
    if case.rows < regime.min_rows:
        return f"regime={regime.name} needs at least {regime.min_rows} rows: ordinary ones beside the others"
    if case.dtype not in regime.dtypes:
        return f"regime={regime.name} has no values in {case.dtype}; it has in {', '.join(regime.dtypes)}"
    if case.target == "argmax" and not regime.argmax:
        return f"regime={regime.name} puts the target below another class, which target=argmax undoes"
    return _captured_refusal(case) if regime.name == CAPTURED else None


def _captured_refusal(case: Case) -> str | None:
    if case.target in ("zipf", "first", "last"):
        return f"regime={case.regime} brings its own targets: target={case.target} has no meaning (uniform keeps them)"
    try:
        classes = capture_classes(case.regime)
    except HarnessError as error:
        return str(error)
    if classes != case.classes:
        return f"regime={case.regime} holds logits of {classes} classes, not {case.classes}"
    return None
