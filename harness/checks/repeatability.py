"""``repeatability``: the answer depends on nothing but the inputs; not on earlier calls, freed memory or position.

Two runs need not agree bit for bit: the order of a summation may change from call to call. Whether they do is an
observation (``bitwise`` of a verdict); what fails is an answer that is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from harness.checks.dirty_memory import dirty_memory
from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.losses.inputs import build_inputs
from harness.numerics.same import same_values

_REPEATS = 5
_FILLS = (float("nan"), 1e30, -1.0, 0.5)

Function = Callable[[torch.Tensor, Any], object]
#: One call: the case and inputs as they were, and what came back.
Asked = tuple[Case, Inputs, Answer]


def repeatability(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the cell's own answer, then one on each thing that an answer must not depend on."""
    probe = Probe(evidence=evidence, check="repeatability")
    plain = probe.plain()
    yield plain
    if plain.status is Status.FAILED:
        return
    experiments = {
        "repeated": _repeated, "order": _order, "shapes": _shapes, "freed_memory": _freed_memory,
        "same_storage": _same_storage, "position": _position,
    }  # fmt: skip
    for name, experiment in experiments.items():
        yield judged_calls(probe, name, attempt(lambda run=experiment: run(probe.evidence)))


def judged_calls(probe: Probe, variant: str, found: Sequence[Asked] | Refusal) -> Verdict:
    """The first verdict that is not passed over all the calls of an experiment; equal answers are judged once."""
    if isinstance(found, Refusal):
        return probe.refused(variant, found)
    seen: list[Asked] = []
    verdict = probe.passed(variant)
    for number, (case, inputs, answer) in enumerate(found):
        if any(inputs is other[1] and same_bits(answer, other[2]) for other in seen):
            continue
        verdict = probe.answered(variant, case, inputs, answer)
        if verdict.status is not Status.PASSED:
            return replace(verdict, reason=f"call {number + 1} of {len(found)}: {verdict.reason}")
        seen.append((case, inputs, answer))
    bitwise = len(seen) == len({id(inputs) for _, inputs, _ in found})
    return replace(verdict, details={"bitwise": bitwise})


def ask(function: Function, inputs: Inputs) -> Answer:
    """One forward and backward through ``function``, its results copied."""
    logits = leaf(inputs.logits)
    answer = gradients_of(function(logits, inputs.target), {"logits": logits}, inputs.grad_output)
    loss = answer.loss.clone() if isinstance(answer.loss, torch.Tensor) else answer.loss
    return replace(answer, loss=loss, gradients={name: g.clone() for name, g in answer.gradients.items()})


def same_bits(one: Answer, other: Answer) -> bool:
    """Whether two answers agree bit for bit (NaN with NaN)."""
    if not isinstance(one.loss, torch.Tensor) or not isinstance(other.loss, torch.Tensor):
        return False
    pairs = [(one.loss, other.loss), *((g, other.gradients.get(name)) for name, g in one.gradients.items())]
    return all(b is not None and same_values(a, b) for a, b in pairs)


def others(evidence: Evidence, count: int) -> list[Inputs]:
    """Inputs of the same case with other contents; what is bound to the callable stays: the weight, other tensors."""
    case, bound = evidence.case, evidence.inputs
    drawn = (build_inputs(replace(case, seed=case.seed + 101 + index)) for index in range(count))
    return [replace(inputs, weight=bound.weight, others=bound.others) for inputs in drawn]


def _asked(evidence: Evidence, case: Case, inputs: Inputs) -> Asked:
    """One call with the options of ``case`` and the weight of ``inputs``, one entry per class."""
    return case, inputs, ask(evidence.function(case, inputs), inputs)


def _repeated(evidence: Evidence) -> list[Asked]:
    return [_asked(evidence, evidence.case, evidence.inputs) for _ in range(_REPEATS)]


def _order(evidence: Evidence) -> list[Asked]:
    """The same calls in two orders, the cell's own first, in the middle and last."""
    a, (b, c) = evidence.inputs, others(evidence, 2)
    return [_asked(evidence, evidence.case, inputs) for inputs in (a, b, c, a, c, b, a)]


def _shapes(evidence: Evidence) -> list[Asked]:
    """Calls of a smaller and a larger shape in between."""
    case = evidence.case
    asked = [(case, evidence.inputs)]
    for batch, classes in ((3, 7), (2 * case.batch + 1, 2 * case.classes + 3)):
        other = replace(case, batch=batch, classes=classes)
        if family_of(case.loss).refusal(other) is None:
            asked += [(other, build_inputs(other)), (case, evidence.inputs)]
    return [_asked(evidence, each, inputs) for each, inputs in asked]


def _freed_memory(evidence: Evidence) -> list[Asked]:
    """Memory not yet written holds NaN, then large and plausible numbers: none may come back."""
    found = []
    for fill in _FILLS:
        with dirty_memory(evidence.inputs, fill):
            found.append(_asked(evidence, evidence.case, evidence.inputs))
    return found


def own_tensors(inputs: Inputs) -> tuple[torch.Tensor, Any]:
    """Copies of logits (a leaf) and target, to be overwritten from call to call."""
    return leaf(inputs.logits.clone()), None if inputs.target is None else inputs.target.clone()


def overwrite(logits: torch.Tensor, target: Any, inputs: Inputs) -> None:
    """Write the contents of ``inputs`` into the tensors of :func:`own_tensors`."""
    with torch.no_grad():
        logits.copy_(inputs.logits)
        if target is not None:
            target.copy_(inputs.target)


def _same_storage(evidence: Evidence) -> list[Asked]:
    """New contents in the same tensors: same object, same address, same shape."""
    case = evidence.case
    logits, target = own_tensors(evidence.inputs)
    found = []
    for inputs in (evidence.inputs, *others(evidence, 2), evidence.inputs):
        overwrite(logits, target, inputs)
        loss = evidence.function(case, inputs)(logits, target)
        answer = gradients_of(loss, {"logits": logits}, inputs.grad_output)
        found.append((case, inputs, replace(answer, loss=answer.loss.clone())))
    return found


def _position(evidence: Evidence) -> list[Asked]:
    """The rows at other places of the batch."""
    case, inputs = evidence.case, evidence.inputs
    found = []
    for shift in (0, 1, case.batch // 2):
        target = None if inputs.target is None else inputs.target.roll(shift, 0)
        moved = replace(inputs, logits=inputs.logits.roll(shift, 0), target=target)
        found.append(_asked(evidence, case, moved))
    return found
