"""``targets``: a target that is no class raises, as with torch, and the calls after it answer as those before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.trial import attempt, bare, fault
from harness.core.case import REDUCTIONS, Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.losses.evaluators import specification
from harness.losses.inputs import build_inputs
from harness.numerics.same import same_values

#: Valid calls made before the invalid ones: only an implementation that repeats itself is held to doing so after them.
_BEFORE = 3


def targets(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on what invalid targets do; a second one, variant ``after``, on a valid call behind them."""
    case = bare(evidence.case)
    inputs = evidence.inputs
    # made before any call: a device-side assertion leaves no device to make them on
    invalid = [(each, spoilt, _torch_answers(each, spoilt)) for each, spoilt in _invalid(evidence.case)]
    before = [evidence.call(case, inputs) for _ in range(_BEFORE)]
    disturbed = set(evidence.disturbed())
    accepted: list[str] = []
    for each, spoilt, torch_answers in invalid:
        found = evidence.call(each, spoilt)
        if isinstance(found, Answer) and not torch_answers:
            accepted.append(f"{each.reduction}: {_told(found)}")
        if each.device.startswith("cuda"):
            break
    if accepted:
        value = _invalid_index(evidence.case)
        yield Verdict(
            check="targets", status=Status.FAILED, region="form", seed=case.seed,
            reason=f"a target of {value} among {case.classes} classes is accepted, torch raises; {'; '.join(accepted)}",
        )  # fmt: skip
    else:
        yield Verdict(check="targets", status=Status.PASSED, seed=case.seed)
    left = sorted(set(evidence.disturbed()) - disturbed)
    if left:
        reason = f"a call that raises leaves changed: {', '.join(left)}"
        yield Verdict(check="targets", variant="state", status=Status.FAILED, reason=reason, seed=case.seed)
    yield _after(evidence, case, before)


def _invalid_index(case: Case) -> int:
    kind = str(dict(case.options)["invalid"])
    return {"C": case.classes, "huge": 2**32 + 1}.get(kind) or int(kind)


def _invalid(case: Case) -> Iterator[tuple[Case, Inputs]]:
    """One bad target among good ones, under each reduction, in the first and in the last row."""
    for row, reduction in zip((0, -1, 0), REDUCTIONS, strict=True):
        plain = replace(bare(case), reduction=reduction)
        inputs = build_inputs(plain)
        target = inputs.target.clone()
        target[row] = _invalid_index(case)
        yield plain, replace(inputs, target=target)


def _torch_answers(case: Case, inputs: Inputs) -> bool:
    """Whether torch answers too; asked on the CPU, where a bad target is an exception, not the end of the process."""
    on_cpu = replace(
        inputs, logits=inputs.logits.cpu(), target=inputs.target.cpu(),
        weight=None if inputs.weight is None else inputs.weight.cpu(),
    )  # fmt: skip
    try:
        specification(case.loss)(case, on_cpu, on_cpu.logits)
    except Exception:
        return False
    return True


def _after(evidence: Evidence, case: Case, before: list[Answer | Refusal]) -> Verdict:
    """A valid call once more: right, and bit for bit as before where the calls before were alike."""
    skipped = _lost_device(case)
    if skipped is not None:
        return Verdict(check="targets", variant="after", status=Status.SKIPPED, reason=skipped, seed=case.seed)
    found = attempt(evidence, case, evidence.inputs)
    if isinstance(found, Refusal):
        reason = f"a valid call raises after an invalid one: {found.reason}"
        return Verdict(check="targets", variant="after", status=Status.FAILED, reason=reason, seed=case.seed)
    wrong = fault(found, "targets", "after")
    if wrong is not None:
        same_before = any(isinstance(b, Answer) and _alike(b, found.answer) for b in before)
        excuse = evidence.excuse(replace(wrong, variant=""), case, found.inputs, found.answer)
        if excuse is not None:
            return replace(wrong, status=Status.DECLARED, reason=excuse)
        known = "as before it" if same_before else "after a call with an invalid target"
        return replace(wrong, reason=f"a valid call is wrong, {known}: {wrong.reason}")
    answers = [answer for answer in before if isinstance(answer, Answer)]
    repeats = len(answers) == _BEFORE and all(_alike(answers[0], answer) for answer in answers[1:])
    if repeats and not _alike(answers[0], found.answer):
        reason = f"{_BEFORE} equal calls gave the same bits; after a call with an invalid target they differ"
        return Verdict(check="targets", variant="after", status=Status.FAILED, reason=reason, seed=case.seed)
    return Verdict(check="targets", variant="after", status=Status.PASSED, seed=case.seed)


def _lost_device(case: Case) -> str | None:
    """Why no further call can be made: a device-side assertion, torch's answer on CUDA, takes the context with it."""
    if not case.device.startswith("cuda"):
        return None
    try:
        torch.zeros(1, device=case.device).sum().item()
    except RuntimeError as error:
        return f"the invalid target ended the CUDA context, as torch's does: {str(error).splitlines()[0]}"
    return None


def _alike(one: Answer, other: Answer) -> bool:
    """Whether two answers are equal bit for bit, loss and gradient."""
    pairs: list[tuple[Any, Any]] = [(one.loss, other.loss)]
    pairs += [(one.gradients.get(name), other.gradients.get(name)) for name in {*one.gradients, *other.gradients}]
    return all(
        isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and same_values(a, b) for a, b in pairs
    )  # fmt: skip


def _told(answer: Answer) -> str:
    """The loss in a few characters."""
    if not isinstance(answer.loss, torch.Tensor):
        return f"returns {type(answer.loss).__name__}"
    shown = ", ".join(f"{value:.4g}" for value in answer.loss.reshape(-1)[:8].tolist())
    return f"loss {shown}"
