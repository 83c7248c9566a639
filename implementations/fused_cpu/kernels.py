"""What is computed on one piece, (n, C) or (n, C, d), in float32 (float64 for float64 logits); classes are dim 1.

Every function works on cached memory: it reads the piece, or a buffer of its size, a few times.
"""

from __future__ import annotations

from fractions import Fraction

import torch

_softmax = torch.ops.aten._softmax.out
_log_softmax = torch.ops.aten._log_softmax.out


def softmax(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """exp(x − max) / Σ exp(x − max) into ``out``."""
    return _softmax(x, 1, False, out=out)


def log_softmax(x: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
    """(x − max) − log Σ exp(x − max) into ``out``."""
    return _log_softmax(x, 1, False, out=out)


def losses_from_probabilities(
    x: torch.Tensor, p: torch.Tensor, index: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """−log p_t of each row and, in float64, p_t − 1, both with small relative error even where p_t is near 1; target
    entries of ``p`` may be left at 0.

    Where p_t ≤ ½ the loss is (max − x_t) + log s with s = 1 / max p, the sum of exponentials. Where p_t > ½ both come
    from r = Σ_{i≠t} p_i, summed without p_t: the loss is −log1p(−r), and p_t − 1 is −r.
    """
    at = index.unsqueeze(1)
    p_t = p.gather(1, at)
    losses = (x.amax(1, keepdim=True) - x.gather(1, at)) - p.amax(1, keepdim=True).log()
    behind = p_t.double() - 1.0
    likely = p_t > 0.5
    if likely.any():
        p.scatter_(1, at, 0.0)
        rest = p.sum(1, keepdim=True)
        losses = torch.where(likely, -torch.log1p(-rest), losses)
        behind = torch.where(likely, -rest.double(), behind)
    return losses.squeeze(1), behind


def hard_gradient(
    p: torch.Tensor, behind: torch.Tensor, index: torch.Tensor, scale: torch.Tensor | Fraction | float
) -> torch.Tensor:
    """``p`` turned into scale · (p − onehot), in place.

    ``behind`` is p_t − 1, and ``scale`` a number or one per row; both in float64, so that the target's entry, −scale
    where p_t is small, is rounded once. In float64 a fraction does the same.
    """
    if isinstance(scale, Fraction):
        at_target = _times(behind, scale)
    else:
        at_target = behind * (scale.unsqueeze(1) if isinstance(scale, torch.Tensor) else scale)
    if isinstance(scale, torch.Tensor):
        p.mul_(scale.unsqueeze(1).to(p.dtype))
    elif scale != 1:
        p.mul_(float(scale))
    return p.scatter_(1, index.unsqueeze(1), at_target.to(p.dtype))


def _times(a: torch.Tensor, fraction: Fraction) -> torch.Tensor:
    """``a`` · ``fraction`` in float64, rounded once: Dekker's product (Numerische Mathematik 18, 1971)."""
    b = float(fraction)
    product = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    lost = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    rest = float(fraction - Fraction(b))
    # beyond the range of halves nothing is known of what was lost
    return product + (lost + a * rest).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


def _halves(x: torch.Tensor | float) -> tuple[torch.Tensor | float, torch.Tensor | float]:
    """``x`` as a sum of two numbers of 26 bits, whose products are exact (Veltkamp)."""
    shifted = x * 134217729.0
    high = shifted - (shifted - x)
    return high, x - high


def weighted_losses(losses: torch.Tensor, row_weight: torch.Tensor) -> torch.Tensor:
    """Losses times their weights; a weight of 0 makes an infinite loss 0, and a loss of NaN stays one."""
    return losses.masked_fill(losses.isinf() & (row_weight == 0.0), 0.0).mul_(row_weight)


def smoothed_losses(log_p: torch.Tensor, index: torch.Tensor, hard: torch.Tensor, spread: torch.Tensor) -> torch.Tensor:
    """−hard · log p_t − Σ_c spread_c log p_c of each row, ``log_p`` overwritten.

    Args:
        log_p: log-probabilities, (n, C) or (n, C, d).
        index: target of each row.
        hard: mass at the target, one per row.
        spread: mass at each class, shaped to broadcast over ``log_p``.
    """
    at_target = log_p.gather(1, index.unsqueeze(1)).squeeze(1)
    # no mass, no cost: 0 · (−inf) would be NaN
    at_target = (at_target * hard).masked_fill_(hard == 0.0, 0.0)
    return -(at_target + _weighted(log_p, spread).sum(1))


def smoothed_gradient(
    p: torch.Tensor, index: torch.Tensor, hard: torch.Tensor, spread: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """``p`` turned into scale · (Q p − q), in place, for q = spread + hard at the target and Q = Σ q.

    ``hard`` and ``scale`` have one entry per row.
    """
    mass = hard + spread.sum().item() * (p.shape[1] if spread.numel() == 1 else 1)
    p.mul_((mass * scale).unsqueeze(1))
    p.addcmul_(scale.unsqueeze(1), spread, value=-1.0)
    p.scatter_add_(1, index.unsqueeze(1), (-hard * scale).unsqueeze(1))
    return p


def soft_losses(log_p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """−Σ_c q_c log p_c of each row; a class of no mass costs nothing. ``log_p`` is overwritten."""
    return -_weighted(log_p, q).sum(1)


def soft_gradient(p: torch.Tensor, q: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """``p`` turned into scale · (Q p − q), in place, for Q = Σ_c q_c of each row."""
    return p.mul_(q.sum(1, keepdim=True)).sub_(q).mul_(scale.unsqueeze(1))


def _weighted(log_p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """``log_p`` times ``q`` in place, 0 where ``q`` is."""
    log_p.mul_(q)
    none = q == 0.0
    return log_p.masked_fill_(none, 0.0) if none.any() else log_p
