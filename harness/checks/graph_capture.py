"""Capture in a CUDA graph, a part of ``composition``: replayed on new contents, it gives their loss and gradient."""

from __future__ import annotations

from dataclasses import replace

import torch

from harness.checks.evidence import Answer, Evidence
from harness.checks.probe import leaf
from harness.losses.inputs import build_inputs

#: Calls on a side stream before capture, as torch's own documentation asks for.
_WARMUPS = 3


def captured(evidence: Evidence) -> Answer:
    """Forward and backward captured on stale contents and replayed on the cell's own.

    Raises:
        Exception: whatever capture raises, which is how an implementation refuses it.
    """
    case, inputs = evidence.case, evidence.inputs
    stale = build_inputs(replace(case, seed=case.seed + 1))
    logits, target = leaf(stale.logits.clone()), stale.target.clone()
    upstream = inputs.grad_output.clone()
    function = evidence.function(case, inputs)

    def run() -> tuple[torch.Tensor, torch.Tensor]:
        loss = function(logits, target)
        (gradient,) = torch.autograd.grad(loss, logits, upstream.to(loss.dtype))
        return loss, gradient

    side = torch.cuda.Stream(logits.device)
    side.wait_stream(torch.cuda.current_stream(logits.device))
    with torch.cuda.stream(side):
        for _ in range(_WARMUPS):
            run()
    torch.cuda.current_stream(logits.device).wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss, gradient = run()
    with torch.no_grad():
        logits.copy_(inputs.logits)
        target.copy_(inputs.target)
    graph.replay()
    torch.cuda.synchronize(logits.device)
    return Answer(loss=loss.detach().clone(), gradients={"logits": gradient.clone()}, requires_grad=True)
