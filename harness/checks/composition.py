"""``composition``: inside what torch offers around a function, the loss works and is right, or refuses with an error.

What refuses is reported as unsupported, and nobody's fault; what fails is an answer that is wrong without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from harness.checks.evidence import Answer, Evidence
from harness.checks.graph_capture import captured
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.checks.process_state import deterministic_algorithms, unusual_state
from harness.checks.transforms import as_sum, by_sample, can_differ_by_sample, forward_mode
from harness.core.case import INTERPRETER, Case
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.inputs.build import Inputs


def composition(evidence: Evidence) -> Iterator[Verdict]:
    """One verdict on the cell's own answer, then one on each surrounding."""
    probe = Probe(evidence=evidence, check="composition")
    plain = probe.plain()
    yield plain
    if plain.status is Status.FAILED:
        return
    case, inputs = evidence.case, evidence.inputs
    yield _composed(probe, "inner_node", case, inputs, lambda: _inner_node(evidence))
    yield _composed(probe, "checkpoint", case, inputs, lambda: _checkpointed(evidence))
    yield _composed(probe, "settings", case, inputs, lambda: _other_settings(evidence))
    # of the others autocast casts operands too, which no budget of theirs allows for
    if case.dtype != "float64" and case.loss == "cross_entropy":
        narrow_case, narrow = _narrow(case, inputs)
        yield _composed(probe, "autocast", narrow_case, narrow, lambda: _autocast(evidence, narrow))
    if case.dtype in ("float32", "float64"):
        yield _composed(probe, "forward_mode", case, inputs, lambda: forward_mode(evidence))
        if can_differ_by_sample(case) and inputs.target is not None:
            summed_case, summed = as_sum(case, inputs)
            yield _composed(probe, "by_sample", summed_case, summed, lambda: by_sample(evidence))
    if case.dtype == "float32" and case.device != INTERPRETER:
        yield _composed(probe, "compile", case, inputs, lambda: _compiled(evidence))
    if case.device.startswith("cuda"):
        yield _composed(probe, "cuda_graph", case, inputs, lambda: captured(evidence))


def _composed(probe: Probe, variant: str, case: Case, inputs: Inputs, run: Callable[[], Answer]) -> Verdict:
    found = attempt(run)
    if not isinstance(found, Answer):
        return probe.unsupported(variant, f"refuses: {found.reason}")
    return probe.answered(variant, case, inputs, found)


def _inner_node(evidence: Evidence) -> Answer:
    """Logits that other operations made, a loss that others scale: nothing may write to a leaf's ``grad`` by itself."""
    inputs = evidence.inputs
    weights = leaf(inputs.logits * 0.5)
    logits = weights * 2.0
    loss = evidence.function(evidence.case, inputs)(logits, inputs.target)
    (loss * 4.0).sum().backward()
    assert weights.grad is not None
    scaled = weights.grad / 8.0
    return Answer(loss=loss.detach(), gradients={"logits": scaled}, requires_grad=True)


def _checkpointed(evidence: Evidence) -> Answer:
    from torch.utils.checkpoint import checkpoint

    inputs, logits = evidence.inputs, leaf(evidence.inputs.logits)
    function = evidence.function(evidence.case, inputs)
    loss = checkpoint(function, logits, inputs.target, use_reentrant=False)
    return gradients_of(loss, {"logits": logits}, inputs.grad_output)


def _other_settings(evidence: Evidence) -> Answer:
    """Deterministic algorithms asked for, another default dtype, number of threads and precision of matrix products."""
    inputs, logits = evidence.inputs, leaf(evidence.inputs.logits)
    function = evidence.function(evidence.case, inputs)
    with unusual_state(), deterministic_algorithms(), torch.enable_grad():
        loss = function(logits, inputs.target)
        return gradients_of(loss, {"logits": logits}, inputs.grad_output)


def _narrow(case: Case, inputs: Inputs) -> tuple[Case, Inputs]:
    """The case as autocast may compute it: in bfloat16, on values that bfloat16 holds."""
    if case.dtype != "float32":
        return case, inputs
    return replace(case, dtype="bfloat16"), replace(inputs, logits=inputs.logits.bfloat16().float())


def _autocast(evidence: Evidence, inputs: Inputs) -> Answer:
    """Under autocast to bfloat16 the loss may be in either dtype, and as precise as the narrower allows."""
    logits = leaf(inputs.logits)
    kind, dtype = inputs.logits.device.type, torch.bfloat16
    if evidence.case.dtype == "float16":
        dtype = torch.float16
    function = evidence.function(evidence.case, inputs)
    with torch.autocast(kind, dtype=dtype):
        loss = function(logits, inputs.target)
    return gradients_of(loss, {"logits": logits}, inputs.grad_output)


def _compiled(evidence: Evidence) -> Answer:
    inputs, logits = evidence.inputs, leaf(evidence.inputs.logits)
    function = evidence.function(evidence.case, inputs)
    bound = getattr(function, "__wrapped__", function)
    # neither compiles C++; aot_eager traces the backward as well, as the default backend does, for half as long again
    backend = "eager" if evidence.case.reduction == "mean" else "aot_eager"
    try:
        loss = torch.compile(bound, fullgraph=True, dynamic=False, backend=backend)(logits, inputs.target)
        return gradients_of(loss, {"logits": logits}, inputs.grad_output)
    finally:
        torch.compiler.reset()
