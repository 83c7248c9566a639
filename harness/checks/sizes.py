"""``sizes``: right whatever the number of classes or rows, and wherever the target and the maximum stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch

from harness.checks.cases.sizes import FAR
from harness.checks.evidence import Evidence
from harness.checks.trial import Change, Sweep, bare, sweep_seconds, thorough
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.losses.catalogue import family_of
from harness.losses.cells import SWEPT

#: Asked first: vector, warp and tile edges up to 2^13, primes, and vocabularies (odd ones misalign the second row).
EDGES = tuple(
    dict.fromkeys(
        (
            1, 2, 3, 5, 7, 31, 33, 1023, 1025, 513, 129, 257, 4097, 17, 127, 255, 511, 65, 63, 2049, 997, 8193,
            4, 8, 9, 15, 16, 32, 64, 128, 256, 512, 1024, 2047, 2048, 4095, 4096, 8191, 8192, 11, 13, 37, 101, 769,
            50257,
        )
    )
)  # fmt: skip
#: 257 is prime: the sweep visits every residue of any tile size early.
_STEP = 257
#: Values of options, together first: what an implementation has no option for it is asked without.
_OPTIONS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "all options": {"weight": "skewed", "ignored": 0.25, "label_smoothing": 0.1},
        "weighted": {"weight": "skewed"},
        "a quarter ignored": {"ignored": 0.25},
        "smoothed": {"label_smoothing": 0.1},
    }
)


def sizes(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict over the sizes of the cell's sweep; a cell without one is judged as it stands."""
    marks = set(evidence.case.options)
    quick = 0.8 if evidence.case.dtype == "float32" and family_of(evidence.case.loss).has_classes else 0.4
    sweep = Sweep(evidence, "sizes", seconds=sweep_seconds(evidence, quick), least=3)
    if set(SWEPT) <= marks:
        yield _swept(evidence, sweep)
    elif set(FAR) <= marks:
        yield _far(evidence, sweep)
    else:
        yield _large(evidence, sweep)


def _large(evidence: Evidence, sweep: Sweep) -> Verdict:
    """Plain, then with options: a path for many rows or classes has its own ways to weigh, to leave out, to smooth."""
    rows, plain = f"{evidence.case.rows} rows of {evidence.case.classes}", bare(evidence.case)
    sweep.judge(f"{rows}, mean", evidence, evidence.case)
    # a row left out is 1 of 65537 in a mean, less than the rounding of their sum
    planned = [(f"{rows}, none", replace(plain, reduction="none"))]
    planned += [(f"{rows}, {words}", case) for words, case in _with_options(plain)]
    for name, case in planned:
        if sweep.ask(name, case) is None:
            break
    return sweep.verdict(1 + len(planned))


def _with_options(plain: Case) -> Iterator[tuple[str, Case]]:
    """``plain`` with those of the options that its family has."""
    family = family_of(plain.loss)
    if len(family.arguments) > 2 and plain.dtype in ("bfloat16", "float16"):
        # torch rounds products with options once each in the half dtype; whoever puts its loss behind a product of
        # their own does so too, though not bit for bit as torch
        return
    asked: list[Mapping[str, Any]] = []
    for words, values in _OPTIONS.items():
        known = {name: value for name, value in values.items() if family.axis(name)}
        if not known or known in asked or family.refusal(replace(plain, **known)):
            continue
        asked.append(known)
        for reduction in ("mean", "none"):
            yield f"{reduction}, {words}", replace(plain, reduction=reduction, **known)


def _swept(evidence: Evidence, sweep: Sweep) -> Verdict:
    """Numbers of classes in turn, with rows whose targets are the last, the first and a drawn class."""
    plain = bare(evidence.case)
    planned = class_counts(plain.classes, everything=thorough(evidence.case))
    for turn, classes in enumerate(planned):
        # offset: every logit of a row at about -1e4 or 1e4, so that padding lanes of any finite value show
        case = replace(plain, classes=classes, regime="offset" if turn % 2 else "normal")
        if family_of(case.loss).refusal(case):
            case = replace(case, regime="normal")
        if sweep.ask(f"{classes} classes", case, _last_and_first(case)) is None:
            break
    return sweep.verdict(len(planned))


def class_counts(largest: int, *, everything: bool) -> list[int]:
    """The edges, then 1 to ``largest`` in an order whose every beginning is spread over all of them (each one once).

    With ``everything`` each number is asked in both regimes of the sweep.
    """
    spread = sorted(range(1, largest + 1), key=lambda c: (c * _STEP % largest, c))
    counts = list(dict.fromkeys((*EDGES, *spread)))
    return [count for count in counts for _ in range(2)] if everything else counts


def _last_and_first(case: Case) -> Change:
    """Targets at the last and at the first class, where targets are classes."""

    def change(inputs: Any) -> Any:
        if inputs.target is None or inputs.target.is_floating_point():
            return inputs
        target = inputs.target.clone()
        target[0], target[1] = case.classes - 1, 0
        return replace(inputs, target=target)

    return change


def _far(evidence: Evidence, sweep: Sweep) -> Verdict:
    """Targets at numbers that narrow types cannot hold, dominant logits on them; the maximum far from the target."""
    plain = bare(evidence.case)
    # uint8, bfloat16's 8 bits and float16's 11 bits of precision; then int16 and uint16; and what an ignore_index of
    # -100 is in 8 and in 16 bits
    near = (255, 256, 257, 258, 2047, 2048, 2049, 2050, 2052, 156)
    wide = (127, 128, 32767, 32768, 65535, 65536, 65599, 65436)
    planned: list[tuple[str, Case, Change]] = []
    for classes, targets in ((2053, near), (65600, wide)):
        case = replace(plain, classes=classes, batch=len(targets), regime="sigma10")
        planned.append((f"targets {targets} of {classes}, dominant", case, _dominant(targets)))
    for classes in (1030, 4100, 40000) if not thorough(evidence.case) else (130, 1030, 4100, 16390, 40000, 131080):
        case = replace(plain, classes=classes, batch=4)
        planned.append((f"maximum and target far apart in {classes}", case, _apart))
    for reduction in ("mean", "none"):
        for name, case, change in planned:
            if sweep.ask(f"{name}, {reduction}", replace(case, reduction=reduction), change) is None:
                break
    return sweep.verdict(2 * len(planned))


def _dominant(targets: tuple[int, ...]) -> Change:
    """Row r has target ``targets[r]``, whose logit stands 8 above all others: one class off is a loss of 8 or more."""

    def change(inputs: Any) -> Any:
        target = torch.tensor(targets, device=inputs.target.device)
        logits = inputs.logits.clone()
        rows = torch.arange(len(targets), device=logits.device)
        logits[rows, target] = logits.amax(1) + 8
        return replace(inputs, logits=logits, target=target)

    return change


def _apart(inputs: Any) -> Any:
    """The maximum last and the target first, the reverse, the maximum in the middle, and growth towards the end.

    The maxima are so large that exp overflows in whoever subtracts another tile's.
    """
    logits, classes = inputs.logits.clone(), inputs.logits.shape[1]
    target = torch.tensor([0, classes - 1, classes - 1, 0], device=inputs.target.device)
    for row, place in enumerate((classes - 1, 0, classes // 2)):
        logits[row, place] = 800.0 if logits.dtype == torch.float64 else 120.0
    logits[3] += torch.linspace(0, 30, classes, device=logits.device).to(logits.dtype)
    return replace(inputs, logits=logits, target=target)
