"""``honesty``: what games a harness and not the loss: replayed answers, work put off, clocks and judges replaced."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from time import perf_counter, sleep

import torch

from harness.checks.evidence import Answer, Evidence, Refusal
from harness.checks.originals import replaced
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.checks.repeatability import Asked, ask, judged_calls, others, overwrite, own_tensors
from harness.checks.streams import other_stream
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs
from harness.losses.catalogue import family_of
from harness.numerics.same import same_values

#: Calls before the one that is judged: more than any published benchmark warms up with, in at most so many seconds.
_CALLS = 300
_SECONDS = 0.4
#: However slow the machine: a busy one made 16 calls in that time.
_LEAST_CALLS = 60
#: Time for a thread to finish what its call should have.
_GRACE_S = 0.1
#: Cells of at least this many logits are for looking at unfinished work.
_LARGE = 1 << 14


def honesty(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the cell's own answer, and one on each way to look better than one is."""
    probe = Probe(evidence=evidence, check="honesty")
    plain = probe.plain()
    yield plain
    if plain.status is Status.FAILED:
        return
    if evidence.case.elements >= _LARGE:
        yield _finished(probe)
        yield from other_stream(probe)
        return
    yield _plain_tensors(probe)
    for name, experiment in _EXPERIMENTS.items():
        yield judged_calls(probe, name, attempt(lambda run=experiment: run(evidence)))
    names = replaced()
    if names:
        yield probe.failed("replaced", f"replaced what it does not own: {', '.join(names[:8])}", "process")
    else:
        yield probe.passed("replaced")


def _many_calls(evidence: Evidence) -> Sequence[Asked]:
    """Hundreds of calls, each with other contents in the same tensors; some at random are judged, and the last."""
    case = evidence.case
    function = evidence.function(case, evidence.inputs)
    pool = [evidence.inputs, *others(evidence, 7)]
    logits, target = own_tensors(evidence.inputs)
    draw, found = random.Random(case.seed), []
    until = perf_counter() + _SECONDS
    for number in range(_CALLS):
        last = number == _CALLS - 1 or (number >= _LEAST_CALLS and perf_counter() > until)
        inputs = pool[draw.randrange(len(pool))]
        overwrite(logits, target, inputs)
        loss = function(logits, target)
        answer = gradients_of(loss, {"logits": logits}, inputs.grad_output)
        if last or draw.random() < 0.02:
            found.append((case, inputs, replace(answer, loss=answer.loss.clone())))
        if last:
            break
    return found


def _changed_a_little(evidence: Evidence) -> Sequence[Asked]:
    """One thing changed at a time, in place, each with what a cache might not look at kept as it was."""
    case = evidence.case
    with_classes = family_of(case.loss).has_classes and case.target_kind == "index"
    variants = list(_of_logits_and_classes(evidence) if with_classes else _of_values(evidence))
    inputs = variants[0]
    function = evidence.function(case, inputs)
    logits, labels = own_tensors(inputs)
    found = []
    for changed in variants:
        overwrite(logits, labels, changed)
        answer = gradients_of(function(logits, labels), {"logits": logits}, changed.grad_output)
        found.append((case, changed, replace(answer, loss=answer.loss.clone())))
    return [*found, (case, inputs, ask(function, replace(inputs, logits=inputs.logits.clone())))]


def _of_logits_and_classes(evidence: Evidence) -> Iterator[Inputs]:
    """A logit changed, two swapped, a target: sums, extremes, first and last entries stay."""
    case, row, middle = evidence.case, evidence.case.batch // 2, evidence.inputs.logits.shape[1] // 2
    # quarters, so that a swap leaves every sum as it was to the last bit
    quarters = (evidence.inputs.logits * 4).round() / 4
    quarters[row, middle] = quarters[row, middle + 1] + 2.0
    inputs = replace(evidence.inputs, logits=quarters)
    one, swapped = inputs.logits.clone(), inputs.logits.clone()
    one[row, middle] += 3.0
    # the same sum, largest and smallest values, and first and last entries as before
    swapped[row, middle], swapped[row, middle + 1] = inputs.logits[row, middle + 1], inputs.logits[row, middle]
    target, at = inputs.target.clone(), inputs.target.clone()
    target[row] = (inputs.target[row] + 1) % case.classes
    at[row] = case.classes // 2
    yield inputs
    yield replace(inputs, logits=one)
    yield inputs
    yield replace(inputs, logits=inputs.logits, target=at)
    yield replace(inputs, logits=swapped, target=at)
    yield replace(inputs, target=target)
    yield replace(inputs, grad_output=inputs.grad_output * -2.0)


def _of_values(evidence: Evidence) -> Iterator[Inputs]:
    """Two entries of the first tensor swapped, or of the target: no value that was not there, so none out of range."""
    inputs, row, middle = evidence.inputs, evidence.case.batch // 2, evidence.inputs.logits.shape[1] // 2
    yield inputs
    for name in ("logits", "target"):
        tensor = inputs.tensors().get(name)
        if tensor is not None and tensor.shape == inputs.logits.shape:
            swapped = tensor.clone()
            swapped[row, middle], swapped[row, middle + 1] = tensor[row, middle + 1], tensor[row, middle]
            yield inputs.changed({name: swapped})
            yield inputs
    yield replace(inputs, grad_output=inputs.grad_output * -2.0)


def _unseen_writes(evidence: Evidence) -> Sequence[Asked]:
    """Other contents in the same tensors, written as numpy and ``.data`` do: version counters stay as they were."""
    case = evidence.case.with_pass("forward_no_grad")
    function = evidence.function(case, evidence.inputs)
    logits, target = own_tensors(evidence.inputs)
    found: list[Asked] = []
    for inputs in (evidence.inputs, *others(evidence, 2), evidence.inputs):
        logits.data.copy_(inputs.logits)
        if target is not None:
            target.data.copy_(inputs.target)
        with torch.no_grad():
            loss = function(logits, target)
        found.append((case, inputs, Answer(loss=loss.clone(), gradients={})))
    return found


_EXPERIMENTS = {"changed_a_little": _changed_a_little, "unseen_writes": _unseen_writes, "many_calls": _many_calls}


def _plain_tensors(probe: Probe) -> Verdict:
    """Loss and gradient are torch.Tensor itself, with memory of their own: nothing is left to be computed on demand."""
    case, inputs = probe.evidence.case, probe.evidence.inputs

    def run() -> tuple[object, Answer]:
        logits = leaf(inputs.logits)
        loss = probe.evidence.function(case, inputs)(logits, inputs.target)
        return loss, gradients_of(loss, {"logits": logits}, inputs.grad_output)

    found = attempt(run)
    if isinstance(found, Refusal):
        return probe.refused("plain_tensors", found)
    loss, answer = found
    for name, value in (("loss", loss), ("gradient", answer.gradients.get("logits"))):
        if type(value) is not torch.Tensor:
            return probe.failed("plain_tensors", f"the {name} is a {type(value).__name__}, not a plain torch.Tensor")
        if value.device != inputs.logits.device or value.untyped_storage().nbytes() < value.itemsize:
            return probe.failed("plain_tensors", f"the {name} has no memory on {inputs.logits.device}")
    return probe.passed("plain_tensors")


def _finished(probe: Probe) -> Verdict:
    """What a call returned is final when it returns: a thread that still writes it shows a little later."""
    case, inputs = probe.evidence.case, probe.evidence.inputs

    def run() -> tuple[bool, bool, Answer]:
        function = probe.evidence.function(case, inputs)
        ask(function, inputs)
        logits = leaf(inputs.logits)
        loss = function(logits, inputs.target)
        early = loss.detach().clone()
        sleep(_GRACE_S)
        late = loss.detach().clone()
        answer = gradients_of(loss, {"logits": logits}, inputs.grad_output)
        gradient = answer.gradients["logits"]
        first = gradient.clone()
        sleep(_GRACE_S)
        return same_values(early, late), same_values(first, gradient), replace(answer, loss=late)

    found = attempt(run)
    if isinstance(found, Refusal):
        return probe.refused("finished", found)
    loss_final, gradient_final, answer = found
    if not loss_final or not gradient_final:
        name = "gradient" if loss_final else "loss"
        return probe.failed("finished", f"the {name} still changed after the call had returned", "process")
    return probe.answered("finished", case, inputs, answer)
