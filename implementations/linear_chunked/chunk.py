"""Cross-entropy of one chunk: its logits, (n, C), are turned into their own gradient in place."""

from __future__ import annotations

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Masses:
    """Where the target mass of each row of a chunk lies: q = hard at the target + spread everywhere."""

    #: (n,) int64.
    index: torch.Tensor
    #: (n,), the weight of the target times what smoothing leaves there.
    hard: torch.Tensor
    #: (C,); None without smoothing.
    spread: torch.Tensor | None


def losses_then_exponentials(
    logits: torch.Tensor, masses: Masses
) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """Losses (n,) = hard · l + Σ_c spread_c l_c with l_c = log Σ_i exp(x_i − max) + (max − x_c).

    ``logits`` are left as exp(x − max), with 0 in the target's column. Returned beside the losses: the sum of that,
    and the target's own exponential, each (n, 1). Where the target is on top its loss is log1p of the former, which
    keeps its digits where the loss is near 0.
    """
    at = masses.index.unsqueeze(1)
    logits.sub_(logits.amax(1, keepdim=True))
    behind = logits.gather(1, at)
    even = None if masses.spread is None else -torch.mv(logits, masses.spread)
    logits.exp_().scatter_(1, at, 0.0)
    others, at_target = logits.sum(1, keepdim=True), behind.exp()
    log_total = torch.where(behind == 0.0, torch.log1p(others), torch.log(others + at_target))
    losses = masses.hard * (log_total - behind).squeeze(1)
    if even is not None and masses.spread is not None:
        losses = losses + (even + log_total.squeeze(1) * masses.spread.sum())
    return losses, (others, at_target)


def into_gradient(
    exponentials: torch.Tensor, sums: tuple[torch.Tensor, torch.Tensor], masses: Masses, scale: torch.Tensor
) -> torch.Tensor:
    """What `losses_then_exponentials` left, turned in place into scale · (Q p − q) with Q = Σ q; ``scale`` is (n,).

    At the target without cancellation: p_t − 1 is −(Σ_{i≠t} exp)/Σ exp.
    """
    others, at_target = sums
    scale, hard = scale.unsqueeze(1), masses.hard.unsqueeze(1)
    total = others + at_target
    evenly = 0.0 if masses.spread is None else masses.spread.sum()
    exponentials.mul_((hard + evenly) * scale / total)
    here = scale * (evenly * at_target - hard * others) / total
    exponentials.scatter_(1, masses.index.unsqueeze(1), here)
    if masses.spread is not None:
        exponentials.addr_(scale.squeeze(1), masses.spread, alpha=-1.0)
    return exponentials
