"""``options``: what single options get right, their products must too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import torch

from harness.checks.evidence import Evidence
from harness.checks.trial import Change, Sweep, bare, sweep_seconds, thorough
from harness.core.case import REDUCTIONS, Case
from harness.core.family import Family
from harness.core.outcome import Verdict
from harness.losses.catalogue import family_of


def options(evidence: Evidence) -> Iterator[Verdict]:
    """Every product of values of the options that the cell sets, form before values; one verdict over all of them."""
    planned = [*_special(evidence.case), *_products(evidence.case)]
    sweep = Sweep(evidence, "options", seconds=sweep_seconds(evidence, 2.0), least=1)
    for name, case, change in planned:
        sweep.ask(name, case, change)
    yield sweep.verdict(len(planned))


Trial = tuple[str, Case, Change | None]


def _products(case: Case) -> Iterator[Trial]:
    """Every combination with its gradient, then again where nothing is differentiated: often another path."""
    combinations = list(_combinations(case))
    for each in combinations:
        yield _name(each), each, None
    for each in combinations:
        yield f"{_name(each)}, under no_grad", each.with_pass("forward_no_grad"), None


def _special(case: Case) -> Iterator[Trial]:
    """What no product of values brings about: rows whose weights are all 0, and a single row (its weight cancels)."""
    if case.weight == "none" or case.target_kind == "probability" or not family_of(case.loss).has_classes:
        return
    plain = replace(bare(case), weight="zeros", ignored=0.0)
    for reduction in REDUCTIONS:
        weightless = replace(plain, reduction=reduction)
        if not case.label_smoothing:  # with it the mean is a positive number over 0: inf or torch's NaN, as one likes
            # the loss alone: a kernel may skip rows of weight 0, and who sees the NaN asks for no gradient of it
            yield f"{_name(weightless)}, every target of weight 0", weightless.with_pass("forward"), _weightless
        single = replace(plain, weight="skewed", batch=1, reduction=reduction)
        yield f"{_name(single)}, one row", single, None


def _weightless(inputs: Any) -> Any:
    """All targets at the first class, whose weight is 0; the mean divides by 0 then, and torch says NaN."""
    weight = inputs.weight.clone()
    weight[0] = 0
    return replace(inputs, weight=weight, target=torch.zeros_like(inputs.target))


def _combinations(case: Case) -> Iterator[Case]:
    """Cells with the same options set as ``case`` has, in all their values; of another loss, all of its options."""
    if case.loss != "cross_entropy":
        yield from _of_family(case)
        return
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


def _of_family(case: Case) -> Iterator[Case]:
    """Every product of the values of the family's options (and of ignored rows) that has a meaning."""
    family, plain = family_of(case.loss), bare(case)
    names = [name for name, _ in family.options if name != "ignore_index" and family.axis(name) is not None]
    sentinels = _SENTINELS if family.axis("ignored") is not None and plain.target_kind == "index" else ((-100, 0.0),)
    for values in product(*(_values(family, name, plain) for name in names), sentinels):
        chosen = family.with_axes(plain, **dict(zip(names, values, strict=False)))
        sentinel, ignored = values[-1]
        changed = replace(chosen, ignore_index=sentinel, ignored=ignored)
        if family.refusal(changed) is None:
            yield changed


#: (ignore_index, share of ignored rows): none, negative, in range, and in range without any row that it drops.
_SENTINELS = ((-100, 0.0), (-100, 0.25), (3, 0.25), (3, 0.0), (-1, 0.25))


def _values(family: Family, name: str, case: Case) -> Sequence[Any]:
    """Values of one option that are worth asking."""
    axis = family.axis(name)
    assert axis is not None
    if axis.kind == "choice":
        return axis.allowed
    if axis.kind == "bool":
        return (False, True)
    if axis.kind == "int":
        dims = 2 + len(case.dims)
        return tuple(range(-dims, dims)) if name == "dim" else tuple(dict.fromkeys((axis.default, axis.minimum)))
    return tuple(dict.fromkeys((axis.default, 0.1, 1.0)))


def _name(case: Case) -> str:
    """The options of ``case`` in words."""
    parts = [f"reduction={case.reduction}"] if len(family_of(case.loss).options) else []
    parts += [f"{name}={value}" for name, value in case.options]
    parts += [f"weight={case.weight}"] if case.weight != "none" else []
    parts += [f"ignore_index={case.ignore_index}"] if case.ignored or case.ignore_index != -100 else []
    parts += [f"label_smoothing={case.label_smoothing:g}"] if case.label_smoothing else []
    return ", ".join(parts)
