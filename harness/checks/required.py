"""Subsets of requires_grad, a part of ``grad_output``: logits, probability targets and weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import torch

from harness.checks.evidence import Answer, Refusal
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.core.outcome import Verdict
from harness.losses.catalogue import family_of
from harness.losses.inputs import build_inputs

#: Ways to call that leave nothing to differentiate, the last by inputs that do not require grad.
MODES = ("no_grad", "inference_mode", "nothing_required")


def required_gradients(probe: Probe) -> Iterator[Verdict]:
    """One verdict on each non-empty subset of the inputs that torch can differentiate, and one on each way to none."""
    case = probe.evidence.case
    names = family_of(case.loss).differentiable(case)
    found = {subset: _answer(probe, _leaves(probe, subset)) for subset in subsets(names) if subset != ("logits",)}
    for subset, answer in found.items():
        yield _verdict(probe, subset, answer, found)
    yield _beside_earlier_gradients(probe, _widest(found))
    for mode in MODES:
        yield _without(probe, mode)
    yield _after_inference(probe)


#: What stands in the leaves' ``grad`` beforehand; exact in every dtype.
_EARLIER = 7.0
#: Rows more than any other call of the check has, so that the size is met for the first time.
_MORE_ROWS = 13

Subset = tuple[str, ...]


def subsets(names: Sequence[str]) -> list[Subset]:
    """The non-empty subsets of ``names``, smaller ones first."""
    return [subset for size in range(1, len(names) + 1) for subset in combinations(names, size)]


def required_variant(subset: Subset) -> str:
    """The variant of ``grad_output`` in which those inputs, and no others, require a gradient."""
    return "requires_" + "_".join(subset)


def _leaves(probe: Probe, subset: Subset) -> dict[str, torch.Tensor]:
    tensors = probe.evidence.inputs.tensors()
    return {name: leaf(tensors[name]) for name in subset}


def _answer(probe: Probe, leaves: Mapping[str, torch.Tensor]) -> Answer | Refusal:
    """The loss and its gradients by ``leaves``, which stand in for the inputs of their names."""
    evidence = probe.evidence
    inputs = evidence.inputs

    def run() -> Answer:
        changed = inputs.changed(leaves)
        loss = evidence.function(evidence.case, changed)(changed.logits, changed.target)
        return gradients_of(loss, leaves, inputs.grad_output)

    return attempt(run)


def _verdict(
    probe: Probe, subset: Subset, answer: Answer | Refusal, found: Mapping[Subset, Answer | Refusal]
) -> Verdict:
    """A missing gradient is a failure. An input that is refused wherever it requires grad is unsupported."""
    variant = required_variant(subset)
    if isinstance(answer, Answer):
        return probe.answered(variant, probe.evidence.case, probe.evidence.inputs, answer, wanted=subset)
    for name in subset:
        if name != "logits" and all(isinstance(one, Refusal) for other, one in found.items() if name in other):
            return probe.unsupported(variant, f"refuses wherever {name} requires grad: {answer.reason}")
    return probe.refused(variant, answer)


def _widest(found: Mapping[Subset, Answer | Refusal]) -> Subset:
    """The largest subset that the candidate differentiates by."""
    whole = (s for s, answer in found.items() if isinstance(answer, Answer) and set(s) <= set(answer.gradients))
    return max(whole, key=len, default=("logits",))


def _beside_earlier_gradients(probe: Probe, names: Subset) -> Verdict:
    """Leaves that have a gradient of an earlier step: the new one comes back, and theirs is not written to."""
    leaves = _leaves(probe, names)
    for one in leaves.values():
        one.grad = torch.full_like(one, _EARLIER)
    found = _answer(probe, leaves)
    for name, one in leaves.items():
        if one.grad is None or not bool((one.grad == _EARLIER).all()):
            return probe.failed("earlier_gradients", f"a backward wrote to {name}.grad, which held an earlier step's")
    return probe.answered("earlier_gradients", probe.evidence.case, probe.evidence.inputs, found, wanted=names)


def _after_inference(probe: Probe) -> Verdict:
    """A size first met under inference mode, then differentiated: a tensor kept from then takes part in no graph."""
    evidence = probe.evidence
    case = replace(evidence.case, batch=evidence.case.batch + _MORE_ROWS)
    inputs = build_inputs(case)

    def run() -> None:
        with torch.inference_mode():
            evidence.function(case, inputs)(inputs.logits, inputs.target)

    raised = attempt(run)
    if isinstance(raised, Refusal):
        return probe.refused("after_inference", raised)
    return probe.called("after_inference", case, inputs)


def _without(probe: Probe, variant: str) -> Verdict:
    """The loss where nothing is differentiated: as right as in grad mode, and no part of a graph."""
    evidence = probe.evidence
    case, inputs = evidence.case.with_pass("forward_no_grad"), evidence.inputs

    def run() -> Answer:
        logits = inputs.logits if variant == "nothing_required" else leaf(inputs.logits)
        mode = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}.get(variant, torch.enable_grad)
        with mode():
            loss = evidence.function(case, inputs)(logits, inputs.target)
        required = isinstance(loss, torch.Tensor) and loss.requires_grad
        return Answer(loss=loss.detach() if required else loss, gradients={}, requires_grad=required)

    found = attempt(run)
    if isinstance(found, Answer) and found.requires_grad:
        return probe.failed(variant, f"the loss requires grad although the call was made under {variant}")
    return probe.answered(variant, case, inputs, found)
