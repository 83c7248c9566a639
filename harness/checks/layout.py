"""``layout``: the same values under other strides, offsets, dimensions and target dtypes give the same answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from harness.checks.evidence import Evidence, Refusal
from harness.checks.layouts import ONE_DIMENSION, TARGETS, TWO_DIMENSIONS, Layout, more_dimensions
from harness.checks.trial import Sweep, attempt, bare, sweep_seconds
from harness.core.case import Case
from harness.core.family import Family
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.catalogue import family_of
from harness.losses.evaluators import specification
from harness.losses.inputs import build_inputs

Change = Callable[[Any], Any]

#: What torch takes beside int64 is uint8 alone; an implementation may take more, and must then be right.
TARGET_DTYPES = (torch.int32, torch.int16, torch.uint8)


def layout(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict over all layouts; and one, ``unsupported``, for each that every call refuses with an error."""
    sweep = Sweep(evidence, "layout", seconds=sweep_seconds(evidence, 2.0), least=1)
    refused: dict[str, str] = {}
    changes = dict(_changes(evidence.case))
    for name, change in changes.items():
        if sweep.over():
            break
        outcomes = [(case, attempt(evidence, case, change(build_inputs(case)))) for case in _probes(evidence.case)]
        raised = [r for _, r in outcomes if isinstance(r, Refusal) and r.status is not Status.UNSUPPORTED]
        if raised and not any(isinstance(found, Evidence) for _, found in outcomes):
            if _torch_answers(evidence.case, change):
                refused[name] = raised[0].reason
            continue
        for case, found in outcomes:
            sweep.judge(name, found, case)
    yield sweep.verdict(2 * len(changes))
    for name, reason in refused.items():
        yield Verdict(
            check="layout", variant=name.replace(" ", "_"), status=Status.UNSUPPORTED, seed=evidence.case.seed,
            reason=f"refuses {name}: {reason}",
        )  # fmt: skip


def _torch_answers(case: Case, change: Change) -> bool:
    """Whether torch takes such inputs itself; what it refuses too is nothing to tell."""
    inputs = change(build_inputs(bare(case)))
    try:
        specification(case.loss)(case, inputs, inputs.logits)
    except Exception:
        return False
    return True


def _probes(case: Case) -> list[Case]:
    """Two cells of different sizes (but for a single row): what raises on both is refused, on one of them is wrong."""
    plain = bare(case)
    # more classes than int8 can number
    classes = plain.classes - 1 if case.dims else 250
    return [plain, replace(plain, batch=max(plain.batch - 1, 1), classes=classes, reduction="none")]


def _changes(case: Case) -> Iterator[tuple[str, Change]]:
    """Name → change of the inputs."""
    layouts = more_dimensions(2 + len(case.dims)) if case.dims else TWO_DIMENSIONS
    family = family_of(case.loss)
    yield from _on_others(case)
    if not family.has_classes:
        yield from _without_classes(family, layouts)
        return
    if not case.dims and (case.weight != "none" or case.label_smoothing):
        yield from _with_options(case)
        return
    if case.target_kind == "probability":
        turned = "classes last" if case.dims else "transposed"
        for name, lay_out in layouts.items():
            yield f"probabilities: {name}", _on_target(lay_out)
        yield f"logits beside contiguous probabilities: {turned}", _on_logits(layouts[turned])
        yield f"probabilities and logits: {turned}", _on_both(layouts[turned])
        return
    for name, lay_out in layouts.items():
        yield f"logits: {name}", _on_logits(lay_out)
    for name, lay_out in TARGETS.items():
        yield f"target: {name}", _on_target(lay_out)
    if not case.dims:
        for dtype in TARGET_DTYPES:
            yield f"target of {str(dtype).removeprefix('torch.')}", _typed(dtype)


def _without_classes(family: Family, layouts: Mapping[str, Layout]) -> Iterator[tuple[str, Change]]:
    """Each tensor by itself, and both in one layout."""
    for called, on_it in ((family.arguments[0], _on_logits), (family.arguments[-1], _on_target)):
        for name, lay_out in layouts.items():
            yield f"{called}: {name}", on_it(lay_out)
        if len(family.arguments) == 1:
            return
    for name in ("transposed", "sliced rows", "classes last"):
        if name in layouts:
            yield f"{' and '.join(family.arguments)}: {name}", _on_both(layouts[name])


def _with_options(case: Case) -> Iterator[tuple[str, Change]]:
    """Kernels often have a path of their own for weights and smoothing."""
    for name in ("transposed", "padded rows", "sliced rows"):
        yield f"logits: {name}", _on_logits(TWO_DIMENSIONS[name])


def _on_others(case: Case) -> Iterator[tuple[str, Change]]:
    """What a call is given beside its first and last tensor: a class weight, the weight and bias of a last layer."""
    for name, tensor in build_inputs(bare(case)).tensors().items():
        if name in ("logits", "target", "grad_output"):
            continue
        for words, lay_out in {1: ONE_DIMENSION, 2: TWO_DIMENSIONS}.get(tensor.ndim, {}).items():
            yield f"{name}: {words}", _on_named(name, lay_out)


def _on_named(name: str, lay_out: Layout) -> Change:
    return lambda inputs: inputs.changed({name: lay_out(inputs.tensors()[name])})


def _on_logits(lay_out: Layout) -> Change:
    return lambda inputs: replace(inputs, logits=lay_out(inputs.logits))


def _on_target(lay_out: Layout) -> Change:
    return lambda inputs: replace(inputs, target=lay_out(inputs.target))


def _on_both(lay_out: Layout) -> Change:
    return lambda inputs: replace(inputs, logits=lay_out(inputs.logits), target=lay_out(inputs.target))


def _typed(dtype: torch.dtype) -> Change:
    def change(inputs: Any) -> Any:
        target = inputs.target.clone()
        # the last class: bytes are read with a sign by some, and as int64 several at a time by others
        target[0] = inputs.logits.shape[1] - 1
        return replace(inputs, target=target.to(dtype))

    return change
