"""``large_index``: offsets beyond 2^31 elements are right, forward and backward, in the last rows as in the first."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import torch

from harness.checks.cases.large_index import FAR
from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.trial import Change, Sweep, attempt, bare, sweep_seconds, thorough
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.hardware.host import available_memory_bytes
from harness.inputs.build import Inputs, device_of
from harness.losses.catalogue import families
from harness.losses.inputs import build_inputs

_INT32 = 1 << 31
#: Strides of (5, C) logits: the last row starts just above 2^31 elements, above 2^32, just below 2^31; the last class.
_STRIDES = ((_INT32 // 4 + 64, 1), (_INT32 // 2 + 64, 1), (_INT32 // 4 - 64, 1), (1, _INT32 // 32 + 8))
#: Strides of (2, 5, 3) logits: samples, classes or trailing entries are far apart.
_SPATIAL = ((_INT32 + 8, 3, 1), (40, _INT32 // 4 + 8, 1), (5, 1, _INT32 // 2 + 8))
#: The largest stride of the same layouts within reach, which tell whether such strides are refused as such.
_NEAR = 1000
#: Linux's MAP_NORESERVE: address space without a promise of memory. Python names it from 3.13 on.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


def large_index(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict: over far strides, or over as many elements as 32 bits count, skipped where memory is short."""
    if set(FAR) <= set(evidence.case.options):
        yield _far(evidence)
    else:
        yield _wide(evidence)


def _far(evidence: Evidence) -> Verdict:
    """The same values with rows, classes or trailing entries so far apart that the last starts beyond 2^31 elements.

    A call that runs out of memory is left out, and told: whoever copies a whole storage needs it all.
    """
    sweep = Sweep(evidence, "large_index", seconds=sweep_seconds(evidence, 1.5), least=2)
    short = ""
    planned = list(_far_trials(bare(evidence.case), 2 * _INT32))
    near = {name: change for name, _, change in _far_trials(bare(evidence.case), _NEAR)}
    for name, case, change in planned:
        if sweep.over():
            break
        try:
            found = attempt(evidence, case, change(build_inputs(case)))
        except (OSError, torch.OutOfMemoryError) as error:
            short = f"no room for {name}: {error}"
            continue
        if isinstance(found, Refusal) and found.status is Status.OUT_OF_MEMORY:
            short = f"{name}: {found.reason}"
            continue
        if isinstance(found, Refusal) and isinstance(attempt(evidence, case, near[name](build_inputs(case))), Refusal):
            # the check layout tells of it
            found = replace(
                found, status=Status.UNSUPPORTED, reason=f"refuses such strides however near: {found.reason}"
            )
        sweep.judge(name, found, case)
    return _told_short(sweep.verdict(len(planned)), short)


def _far_trials(case: Case, furthest: int) -> Iterator[tuple[str, Case, Change]]:
    """Named calls with changed inputs; their strides are ``furthest`` at the most, their names those of far ones."""
    all_strides = _SPATIAL if case.dims else _STRIDES
    for strides, reduction in product(all_strides, ("mean", "none")):
        asked, here = replace(case, reduction=reduction), tuple(min(stride, furthest) for stride in strides)
        yield f"strides {strides}, {reduction}", asked, lambda i, s=here: replace(i, logits=_spread(i.logits, s))
    own = (all_strides[0][0], *all_strides[0][2:])
    here = tuple(min(stride, furthest) for stride in own)
    yield f"target strides {own}", case, lambda i: replace(i, target=_spread(i.target, here))


def _told_short(verdict: Verdict, short: str) -> Verdict:
    """``verdict`` with the reason why trials were left out for want of memory."""
    if not short:
        return verdict
    if verdict.status is Status.SKIPPED:
        return replace(verdict, reason=short)
    return replace(verdict, details={**verdict.details, "left_out": short})


def _spread(values: torch.Tensor, strides: tuple[int, ...]) -> torch.Tensor:
    """``values`` under ``strides`` in elements. On the CPU only the pages that hold them take memory.

    There the first element lies 2^31 elements into the storage, so that an offset that wrapped round reads zeros
    and not foreign memory.

    Raises:
        OSError: the system refuses so much address space.
        torch.OutOfMemoryError: the device has not the memory.
    """
    span = 1 + sum((size - 1) * stride for size, stride in zip(values.shape, strides, strict=True))
    if values.is_cuda:
        storage, start = torch.zeros(span, dtype=values.dtype, device=values.device), 0
    else:
        start = _INT32
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _NO_RESERVE
        storage = torch.frombuffer(mmap.mmap(-1, (start + span) * values.itemsize, flags=flags), dtype=values.dtype)
    view = storage.as_strided(tuple(values.shape), strides, start)
    view.copy_(values)
    return view


def _wide(evidence: Evidence) -> Verdict:
    """Just below and just above 2^31 elements, classes last and (N, C, d) with classes second."""
    sweep = Sweep(evidence, "large_index", seconds=sweep_seconds(evidence, 60.0), least=1)
    plain = bare(evidence.case)
    rows = _INT32 // plain.classes
    sizes = ((rows + 1, ()), (1, (rows + 1,)), (rows - 1, ()))
    planned = [replace(plain, batch=batch, dims=dims) for batch, dims in sizes]
    if thorough(evidence.case):
        planned.append(replace(plain, batch=2 * rows + 1))
    short = ""
    for case in planned:
        short = _short_of_memory(case) or short
        if not _short_of_memory(case) and not sweep.over():
            _ask_wide(evidence, sweep, case)
    return _told_short(sweep.verdict(len(planned)), short)


def _short_of_memory(case: Case) -> str | None:
    needed = families()[case.loss].memory(case)
    if case.device.startswith("cuda"):
        available, where = torch.cuda.mem_get_info(case.device)[0], f"free on {case.device}"
    else:
        available, where = available_memory_bytes(), "available here"
    if needed <= available:
        return None
    return f"{case.rows}×{case.classes} logits need {needed / 2**30:.1f} GiB of {available / 2**30:.1f} {where}"


def _ask_wide(evidence: Evidence, sweep: Sweep, case: Case) -> None:
    """One call on all rows, of which the first two, those about element 2^31 and the last two are judged."""
    inputs = _windows(case)
    answer = evidence.call(case, inputs)
    name = f"{'×'.join(map(str, inputs.logits.shape))} elements"
    if isinstance(answer, Refusal):
        sweep.judge(name, answer, case)
        return
    count, edge = case.rows, _INT32 // case.classes
    rows = sorted({row for row in (0, 1, edge - 1, edge, count - 2, count - 1) if 0 <= row < count})
    judged, some, told = _at(case, inputs, answer, rows)
    evaluation = evidence.evaluate(judged, some, told)
    found = replace(evidence, case=judged, inputs=some, answer=told, evaluation=evaluation)
    sweep.judge(f"rows {rows} of {name}", found, judged)


def _windows(case: Case) -> Inputs:
    """Contiguous logits whose rows are windows into a bank of draws; targets and upstream gradients are drawn."""
    bank = build_inputs(replace(case, batch=8, dims=())).logits.reshape(-1)
    count, classes = case.rows, case.classes
    windows = bank.as_strided((count, classes), ((bank.numel() - classes) // count, 1))
    logits = windows if not case.dims else windows.t().unsqueeze(0)
    generator = torch.Generator().manual_seed(case.seed)
    shape = (case.batch, *case.dims)
    target = torch.randint(0, classes, shape, generator=generator)
    upstream = torch.randn(shape, generator=generator).to(logits.dtype)
    device = device_of(case)
    return Inputs(logits=logits.contiguous(), target=target.to(device), weight=None, grad_output=upstream.to(device))


def _at(case: Case, inputs: Inputs, answer: Answer, rows: list[int]) -> tuple[Case, Inputs, Answer]:
    """Case, inputs and answer of ``rows`` alone, which reduction none keeps apart; whole where the shape is wrong."""

    def pick(values: Any) -> Any:
        if not isinstance(values, torch.Tensor) or prod(values.shape) % case.rows or values.ndim == 0:
            return values
        return values[rows] if not case.dims else values[..., rows]

    judged = replace(case, batch=len(rows)) if not case.dims else replace(case, dims=(len(rows),))
    some = replace(inputs, logits=pick(inputs.logits), target=pick(inputs.target), grad_output=pick(inputs.grad_output))
    gradients = {name: pick(gradient) for name, gradient in answer.gradients.items()}
    return judged, some, replace(answer, loss=pick(answer.loss), gradients=gradients)
