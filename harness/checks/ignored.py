"""``ignored``: ignored rows may be deleted, added, moved or spoilt and nothing else changes; the least sizes work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from harness.checks.cases.ignored import EDGES
from harness.checks.evidence import Evidence
from harness.checks.trial import Sweep, bare, sweep_seconds
from harness.core.case import REDUCTIONS, Case
from harness.core.outcome import Verdict
from harness.losses.inputs import build_inputs

#: Changes the inputs of a case, and the case with them where the number of rows changes.
Transform = Callable[[Case, Any], tuple[Case, Any]]


def ignored(evidence: Evidence) -> Iterator[Verdict]:
    """Every change to the ignored rows × reduction × ignore_index, judged by the truth that leaves these rows out."""
    if set(EDGES) <= set(evidence.case.options):
        yield _edges(evidence)
        return
    sweep = Sweep(evidence, "ignored", seconds=sweep_seconds(evidence, 2.0), least=1)
    plain = bare(evidence.case)
    # the default, in range, and above C: kernels gather with it before they mask
    sentinels = (-100, 2, plain.classes + 250)
    planned = list(product(TRANSFORMS.items(), sentinels, REDUCTIONS))
    # the changes that find most come first, in the reduction that all implementations have
    for (name, transform), sentinel, reduction in sorted(planned, key=lambda p: (p[2] != "mean", p[1] != -100)):
        case = replace(plain, ignore_index=sentinel, reduction=reduction)
        if sweep.over():
            break
        changed, inputs = transform(case, build_inputs(case))
        sweep.ask(f"{name}, ignore_index={sentinel}, {reduction}", changed, lambda _, inputs=inputs: inputs)
    yield sweep.verdict(len(planned))


def _edges(evidence: Evidence) -> Verdict:
    """No rows, one row and one class, under every reduction and with every option: torch defines them all."""
    sweep = Sweep(evidence, "ignored", seconds=sweep_seconds(evidence, 2.0), least=1)
    plain = bare(evidence.case)
    sizes = {"no rows": (0, 5), "one row": (1, 5), "one class": (3, 1), "no rows of one class": (0, 1)}
    settings = [
        {}, {"label_smoothing": 0.1}, {"weight": "uniform"}, {"weight": "uniform", "label_smoothing": 1.0}
    ]  # fmt: skip
    planned = list(product(sizes.items(), settings, REDUCTIONS))
    for (name, (batch, classes)), axes, reduction in planned:
        case = replace(plain, batch=batch, classes=classes, reduction=reduction, **axes)
        said = ", ".join((name, reduction, *(f"{axis}={value}" for axis, value in axes.items())))
        found = sweep.ask(said, case)
        if found is None:
            break
    return sweep.verdict(len(planned))


def _kept(case: Case, inputs: Any) -> torch.Tensor:
    return inputs.target != case.ignore_index


def _take(case: Case, inputs: Any, rows: torch.Tensor) -> tuple[Case, Any]:
    """Case and inputs with ``rows`` (indices) in their order."""
    upstream = inputs.grad_output[rows] if case.reduction == "none" else inputs.grad_output
    taken = replace(inputs, logits=inputs.logits[rows], target=inputs.target[rows], grad_output=upstream)
    return replace(case, batch=len(rows)), taken


def _as_drawn(case: Case, inputs: Any) -> tuple[Case, Any]:
    return case, inputs


def _deleted(case: Case, inputs: Any) -> tuple[Case, Any]:
    return _take(case, inputs, _kept(case, inputs).nonzero().squeeze(1))


def _appended(case: Case, inputs: Any) -> tuple[Case, Any]:
    """Twice as many rows, the added ones ignored."""
    rows = torch.arange(2 * case.batch, device=inputs.target.device) % case.batch
    longer, taken = _take(case, inputs, rows)
    taken.target[case.batch :] = case.ignore_index
    return longer, taken


def _moved_first(case: Case, inputs: Any) -> tuple[Case, Any]:
    return _take(case, inputs, torch.argsort(_kept(case, inputs).to(torch.uint8), stable=True))


def _all_but_one(case: Case, inputs: Any) -> tuple[Case, Any]:
    first = _kept(case, inputs).nonzero()[0]
    target = torch.full_like(inputs.target, case.ignore_index)
    target[first] = inputs.target[first]
    return case, replace(inputs, target=target)


def _all(case: Case, inputs: Any) -> tuple[Case, Any]:
    return case, replace(inputs, target=torch.full_like(inputs.target, case.ignore_index))


def _filled(*values: float) -> Transform:
    """The ignored rows filled with ``values`` in turn (the largest finite value where one is out of range)."""

    def transform(case: Case, inputs: Any) -> tuple[Case, Any]:
        logits = inputs.logits.clone()
        largest = torch.finfo(logits.dtype).max
        for turn, row in enumerate((~_kept(case, inputs)).nonzero().squeeze(1).tolist()):
            value = values[turn % len(values)]
            logits[row] = value if abs(value) == float("inf") else min(value, largest)
        return case, replace(inputs, logits=logits)

    return transform


def _one_nan(case: Case, inputs: Any) -> tuple[Case, Any]:
    logits = inputs.logits.clone()
    logits[~_kept(case, inputs), -1] = float("nan")
    return case, replace(inputs, logits=logits)


TRANSFORMS: dict[str, Transform] = {
    "ignored rows as drawn": _as_drawn,
    "ignored rows appended": _appended,
    "ignored rows moved to the front": _moved_first,
    "ignored rows of 1e30": _filled(1e30),
    "all rows ignored": _all,
    "all rows but one ignored": _all_but_one,
    "ignored rows deleted": _deleted,
    "ignored rows of +inf": _filled(float("inf")),
    "ignored rows of -inf": _filled(float("-inf")),
    "ignored rows with one NaN": _one_nan,
    "ignored rows of NaN and infinities": _filled(float("nan"), float("inf"), float("-inf")),
}
