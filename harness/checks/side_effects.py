"""``side_effects``: a call leaves its inputs, the process and memory as they were, and its results are its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from harness.checks.evidence import Answer, Evidence
from harness.checks.guarded import Guarded, guard
from harness.checks.kept_memory import kept_memory
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.checks.process_state import differences, process_state, unusual_state
from harness.core.case import Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.numerics.same import same_values


def side_effects(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the cell's own answer, then one on inputs, on late changes, on results, on state and on memory."""
    probe = Probe(evidence=evidence, check="side_effects")
    yield probe.plain()
    yield _inputs(probe)
    yield from _changed_between(probe)
    yield _results(probe)
    if evidence.case.reduction == "mean" and evidence.case.weight == "none":
        yield _state(probe)
        yield from kept_memory(probe)


def _inputs(probe: Probe) -> Verdict:
    """Inputs with guards around them, through a call without gradients, one with, and its backward."""
    case = probe.evidence.case
    guarded = guard(probe.evidence.inputs)
    steps: list[Callable[[], object]] = []
    kept: dict[str, object] = {}

    def without() -> None:
        with torch.no_grad():
            probe.evidence.function(case, guarded.inputs)(guarded.inputs.logits, guarded.inputs.target)

    def forward() -> None:
        kept["logits"] = guarded.logits
        kept["loss"] = probe.evidence.function(case, guarded.inputs)(guarded.logits, guarded.inputs.target)

    def backward() -> None:
        kept["answer"] = gradients_of(kept["loss"], {"logits": guarded.logits}, guarded.inputs.grad_output)

    steps = [without, forward, backward]
    for step, when in zip(steps, ("a call under no_grad", "the forward", "the backward"), strict=True):
        raised = attempt(step)
        if raised is not None:
            return probe.refused("inputs", raised)
        changed = guarded.changes()
        if changed:
            return probe.failed("inputs", f"{when} changed {'; '.join(changed)}", "inputs")
    answer = kept["answer"]
    assert isinstance(answer, Answer)
    # NaN stands around the inputs: reading beyond their ends shows in the answer
    return probe.answered("inputs", case, probe.evidence.inputs, answer)


def _changed_between(probe: Probe) -> Iterator[Verdict]:
    """Inputs, or the loss, changed in place between forward and backward: the forward's gradient comes, or an error."""
    case, inputs = probe.evidence.case, probe.evidence.inputs
    for name in inputs.tensors():
        if name == "grad_output":
            continue
        yield _changed(probe, case.with_pass("forward_backward"), _copied(inputs), name)
    yield _changed(probe, case.with_pass("forward_backward"), _copied(inputs), "loss")


def _changed(probe: Probe, case: Case, inputs: Inputs, name: str) -> Verdict:
    def run() -> Answer:
        logits = leaf(inputs.logits)
        loss = probe.evidence.function(case, inputs)(logits, inputs.target)
        changed = {"logits": logits, "loss": loss}.get(name, inputs.tensors().get(name))
        returned = loss.detach().clone()
        with torch.no_grad():
            if changed.ndim:
                changed.copy_(changed.flip(0) if name != "target" or changed.ndim > 1 else changed.roll(1, 0))
            if changed.dtype.is_floating_point:
                changed.mul_(-0.5)
        return replace(gradients_of(loss, {"logits": logits}, inputs.grad_output), loss=returned)

    variant, found = f"changed_{name}", attempt(run)
    if not isinstance(found, Answer):
        # an error is honest: the implementation saved the input itself and noticed
        return probe.passed(variant, changed_between="raises")
    verdict = probe.answered(variant, case, probe.evidence.inputs, found)
    if verdict.status is not Status.FAILED:
        return verdict
    return replace(verdict, reason=f"{name} changed in place between forward and backward, unnoticed: {verdict.reason}")


def _results(probe: Probe) -> Verdict:
    """Results of one call share no memory with its inputs, and stay as they are through later calls."""
    case, inputs = probe.evidence.case, _copied(probe.evidence.inputs)

    def run(given: Inputs) -> dict[str, torch.Tensor]:
        logits = leaf(given.logits)
        loss = probe.evidence.function(case, given)(logits, given.target)
        answer = gradients_of(loss, {"logits": logits}, given.grad_output)
        return {"loss": answer.loss, "gradient": answer.gradients["logits"]}

    def without(given: Inputs) -> torch.Tensor:
        with torch.no_grad():
            return probe.evidence.function(case, given)(given.logits, given.target)

    target = None if inputs.target is None else inputs.target.roll(1, 0)
    others = replace(inputs, logits=inputs.logits.flip(0) * 0.5, target=target)
    found = attempt(lambda: {**run(inputs), "loss under no_grad": without(inputs)})
    if not isinstance(found, dict):
        return probe.refused("results", found)
    kept = {name: value.clone() for name, value in found.items()}
    later = attempt(lambda: [{**run(each), "loss under no_grad": without(each)} for each in (others, inputs)])
    for name, value in found.items():
        for owner, tensor in inputs.tensors().items():
            if _overlap(value, tensor):
                return probe.failed("results", f"the {name} lies in the memory of {owner}", "alias")
        if not same_values(value, kept[name]):
            return probe.failed("results", f"a later call changed the {name} that an earlier one had returned", "alias")
        if isinstance(later, list) and any(_overlap(value, result[name]) for result in later):
            return probe.failed("results", f"the {name} of two calls lies in the same memory", "alias")
    return probe.passed("results")


def _state(probe: Probe) -> Verdict:
    """The state of the process after calls, with usual and with unusual settings; and after the very first call."""
    case, inputs = probe.evidence.case, probe.evidence.inputs

    def call() -> None:
        logits = leaf(inputs.logits)
        gradients_of(
            probe.evidence.function(case, inputs)(logits, inputs.target), {"logits": logits}, inputs.grad_output
        )

    def compare(name: str) -> list[str]:
        before = process_state()
        attempt(call)
        return [f"{change} in {name}" for change in differences(before, process_state())]

    changed = [f"{name} in an earlier call" for name in probe.evidence.disturbed()]
    changed += compare("a call")
    with unusual_state():
        changed += compare("a call under other settings")
    if changed:
        return probe.failed("state", f"changed: {', '.join(changed)}", "state")
    return probe.passed("state")


def _copied(inputs: Inputs) -> Inputs:
    return inputs.changed({name: guard_free(t) for name, t in inputs.tensors().items() if name != "grad_output"})


def guard_free(tensor: torch.Tensor) -> torch.Tensor:
    """A copy of the same strides."""
    return Guarded.rebased(tensor, 0)[1]


def _overlap(one: torch.Tensor, other: torch.Tensor | None) -> bool:
    if other is None or not isinstance(one, torch.Tensor):
        return False
    a, b = one.untyped_storage(), other.untyped_storage()
    return a.nbytes() > 0 and a.data_ptr() == b.data_ptr() and one.device == other.device
