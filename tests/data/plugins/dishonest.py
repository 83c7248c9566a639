"""Implementations whose answers are right and whose times are not."""

import threading
import time

import torch
import torch.nn.functional as F

_KEPT = {}


def keeps_results(logits, target):
    """Remembers the loss of each memory it has seen."""
    key = (logits.data_ptr(), logits.shape, logits._version)
    if key not in _KEPT:
        _KEPT[key] = F.cross_entropy(logits.detach(), target)
    return _KEPT[key]


def on_another_thread(logits, target):
    """Returns before the work is done."""
    out = torch.zeros((), dtype=logits.dtype)

    def work():
        time.sleep(0.005)
        out.copy_(F.cross_entropy(logits, target))

    threading.Thread(target=work).start()
    return out


def five_percent_more(logits, target):
    """Torch's own, and again on a twentieth of the rows: real extra work."""
    extra = max(1, len(logits) // 20)
    with torch.no_grad():
        F.cross_entropy(logits[:extra], target[:extra])
    return F.cross_entropy(logits, target)


class _WritesInputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, target):
        loss = F.cross_entropy(logits, target)
        probability = torch.softmax(logits, 1)
        probability[torch.arange(len(target)), target] -= 1
        logits.data.copy_(probability / len(target))
        ctx.gradient = logits.detach()
        return loss

    @staticmethod
    def backward(ctx, grad_output):
        return ctx.gradient * grad_output, None


def writes_inputs(logits, target):
    """Makes the gradient in its forward, in the memory of the logits."""
    return _WritesInputs.apply(logits, target)


def recompiles(logits, target):
    """Compiled anew for every count of rows, and called on ten of them."""
    for rows in range(2, 12):
        _compiled()(logits[:rows], target[:rows])
    return F.cross_entropy(logits, target)


def _compiled():
    if "compiled" not in _KEPT:
        _KEPT["compiled"] = torch.compile(F.cross_entropy, dynamic=False, backend="eager")
    return _KEPT["compiled"]
