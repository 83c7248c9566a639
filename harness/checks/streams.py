"""Work on another CUDA stream, a part of ``honesty``: it waits for no inputs, and no reader waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import torch

from harness.checks.evidence import Answer, Evidence
from harness.checks.probe import Probe, attempt, gradients_of, leaf
from harness.core.outcome import Verdict
from harness.core.status import Status
from harness.losses.inputs import build_inputs

#: GPU clock cycles that the caller's stream is kept busy before the inputs are there: some 50 ms.
_CYCLES = 100_000_000


def other_stream(probe: Probe) -> Iterator[Verdict]:
    """One verdict on CUDA, none elsewhere: the caller works on a stream of its own, and its inputs come late.

    A kernel on any other stream that is not made to wait reads the contents of before; one that the caller's stream
    does not wait for leaves the copy, made at once on that stream, unfinished.
    """
    if not probe.evidence.case.device.startswith("cuda"):
        return
    found = attempt(lambda: _run(probe.evidence))
    verdict = probe.answered("stream", probe.evidence.case, probe.evidence.inputs, found)
    if verdict.status is Status.FAILED:
        reason = f"on a stream of the caller's, with inputs that come late: {verdict.reason}"
        verdict = replace(verdict, reason=reason)
    yield verdict


def _run(evidence: Evidence) -> Answer:
    case, inputs = evidence.case, evidence.inputs
    stale = build_inputs(replace(case, seed=case.seed + 1))
    logits, target = leaf(stale.logits.clone()), stale.target.clone()
    function = evidence.function(case, inputs)
    gradients_of(function(logits, target), {"logits": logits}, inputs.grad_output)  # compiled, and pools filled
    torch.cuda.synchronize(logits.device)
    stream = torch.cuda.Stream(logits.device)
    with torch.cuda.stream(stream):
        torch.cuda._sleep(_CYCLES)
        with torch.no_grad():
            logits.copy_(inputs.logits, non_blocking=True)
            target.copy_(inputs.target, non_blocking=True)
        answer = gradients_of(function(logits, target), {"logits": logits}, inputs.grad_output)
        copied = replace(
            answer, loss=answer.loss.clone(), gradients={name: g.clone() for name, g in answer.gradients.items()}
        )
    stream.synchronize()
    result = replace(copied, loss=copied.loss.cpu(), gradients={n: g.cpu() for n, g in copied.gradients.items()})
    torch.cuda.synchronize(logits.device)
    moved = {name: g.to(logits.device) for name, g in result.gradients.items()}
    return replace(result, loss=result.loss.to(logits.device), gradients=moved)
