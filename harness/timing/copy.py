"""The copy that calls are held beside: about the least that making a gradient through autograd can cost here."""

from __future__ import annotations

from dataclasses import replace

import torch

from harness.core.case import Case
from harness.timing.arm import Arm
from harness.timing.ring import Ring


def copy_arm(case: Case, ring: Ring, *, cuda_graph: bool = False) -> Arm:
    """An arm of ``torch.autograd.grad(logits.clone(), logits, upstream)`` on the ring's logits.

    It reads every logit once, writes as much once, and goes through autograd as every implementation does, whose own
    work is what it takes beyond this. The upstream gradient is one number seen as many: it takes no memory, and
    autograd hands it on as it is. With ``cuda_graph`` it is replayed on CUDA as the others are.

    Raises:
        NoGraphError: CUDA refused to record.
    """
    logits = ring.source.logits
    upstream = torch.ones((), dtype=logits.dtype, device=logits.device).expand(logits.shape)
    arm = Arm(_copy, case, replace(ring, pairs=[(given[0], None) for given in ring.pairs]), upstream)
    if cuda_graph and case.device.startswith("cuda"):
        arm.record()
    return arm


def _copy(logits: torch.Tensor, _: None) -> torch.Tensor:
    return logits.clone()
