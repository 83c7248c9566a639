"""Cross-entropies of class indices, right but unusual, and wrong on purpose: (logits, target) → row losses and softmax.

Each works in the dtype it is given, on (N, C), and returns the loss of each row and p; ``answer`` makes from them what
F.cross_entropy's loss and gradient of logits would be.
"""

import torch

F32 = torch.float32


def answer(rows, case, inputs, *, compute=F32, wrong=lambda loss, gradient: (loss, gradient)):
    """Loss and gradient of logits by ``rows``, computed in ``compute`` and rounded once to the logits' dtype."""
    x, target, dtype = inputs.logits.to(compute), inputs.target, inputs.logits.dtype
    losses, p = rows(x, target)
    gradient = p.clone()
    gradient[torch.arange(len(x)), target] -= 1.0
    weight = torch.ones(len(x), dtype=compute) if inputs.weight is None else inputs.weight.to(compute)[target]
    losses, gradient = losses * weight, gradient * weight[:, None]
    scale = inputs.grad_output.to(compute).expand(len(x)).clone()
    if case.reduction == "mean":
        scale = scale / weight.sum()
    loss = losses if case.reduction == "none" else losses.sum()
    loss = loss / weight.sum() if case.reduction == "mean" else loss
    loss, gradient = wrong(loss, gradient * scale[:, None])
    return loss.to(dtype), {"logits": gradient.to(dtype)}


def _at(x, target):
    return x.gather(1, target[:, None])[:, 0]


def _from_sum(x, target, total):
    top = x.amax(1)
    return (top - _at(x, target)) + total.log(), (x - top[:, None]).exp() / total[:, None]


def lse_minus_logit(x, target):
    lse = torch.logsumexp(x, 1)
    return lse - _at(x, target), (x - lse[:, None]).exp()


def log1p(x, target):
    top, first = x.max(1)
    e = (x - top[:, None]).exp()
    others = e.scatter(1, first[:, None], 0.0).sum(1)
    return (top - _at(x, target)) + others.log1p(), e / (1.0 + others)[:, None]


def recursive(x, target):
    e = (x - x.amax(1, keepdim=True)).exp()
    total = torch.zeros_like(e[:, 0])
    for column in e.unbind(1):
        total = total + column
    return _from_sum(x, target, total)


def kahan(x, target):
    e = (x - x.amax(1, keepdim=True)).exp()
    total, lost = torch.zeros_like(e[:, 0]), torch.zeros_like(e[:, 0])
    for column in e.unbind(1):
        term = column - lost
        larger = total + term
        lost = (larger - total) - term
        total = larger
    return _from_sum(x, target, total)


def online(x, target, block=8):
    top, total = torch.full_like(x[:, 0], -torch.inf), torch.zeros_like(x[:, 0])
    for part in x.split(block, 1):
        larger = torch.maximum(top, part.amax(1))
        shift = torch.where(larger == -torch.inf, torch.zeros_like(larger), larger)
        total = total * (top - shift).exp() + (part - shift[:, None]).exp().sum(1)
        top = larger
    return (top - _at(x, target)) + total.log(), (x - top[:, None]).exp() / total[:, None]


def base_two(x, target):
    log2e, ln2 = 1.4426950408889634, 0.6931471805599453
    top = x.amax(1)
    e = ((x - top[:, None]) * log2e).exp2()
    total = e.sum(1)
    return (top - _at(x, target)) + total.log2() * ln2, e / total[:, None]


RIGHT = {f.__name__: f for f in (lse_minus_logit, log1p, recursive, kahan, online, base_two)}


def drops_last_class(x, target):
    return _from_sum(x, target, (x - x.amax(1, keepdim=True)).exp()[:, :-1].sum(1))


def counts_tail_twice(x, target):
    e = (x - x.amax(1, keepdim=True)).exp()
    return _from_sum(x, target, e.sum(1) + e[:, -(x.shape[1] // 3) :].sum(1))


def epsilon_in_log(x, target):
    p = x.softmax(1)
    return -(_at(p, target) + 1e-7).log(), p


def log_of_softmax(x, target):
    p = x.softmax(1)
    return -_at(p, target).log(), p


def accumulates_in_bfloat16(x, target):
    e = (x - x.amax(1, keepdim=True)).exp().bfloat16()
    total = torch.zeros_like(e[:, 0])
    for column in e.unbind(1):
        total = total + column
    return _from_sum(x, target, total.float())


def casts_to_bfloat16(x, target):
    return log1p(x.bfloat16().float(), target)


def unshifted(x, target):
    e = x.exp()
    total = e.sum(1)
    return total.log() - _at(x, target), e / total[:, None]


def log_of_twelve_bits(x, target):
    loss, p = log1p(x, target)
    log_sum = loss - (x.amax(1) - _at(x, target))
    return (x.amax(1) - _at(x, target)) + (log_sum.view(torch.int32) & ~0xFFF).view(torch.float32), p


WRONG = {
    f.__name__: f
    for f in (
        drops_last_class,
        counts_tail_twice,
        epsilon_in_log,
        log_of_softmax,
        accumulates_in_bfloat16,
        casts_to_bfloat16,
        unshifted,
        log_of_twelve_bits,
    )
}
