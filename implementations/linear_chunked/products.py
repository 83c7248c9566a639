"""Matrix products whose results are in the dtype of the arithmetic, whatever their factors are stored in.

Half-precision factors: CUDA's products keep a float32 result where torch offers ``out_dtype``. The CPU's round it, so
there blocks of the weight are widened first, each small enough to be a trifle beside a chunk of logits.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

#: Entries of one widened block of the weight: 8 MiB of float32.
_BLOCK = 1 << 21


def _keeps_float32(tensor: torch.Tensor) -> bool:
    return tensor.is_cuda and hasattr(torch.ops.aten.addmm, "dtype_out")


def _blocks(linear_weight: torch.Tensor) -> Iterator[slice]:
    classes, features = linear_weight.shape
    step = max(1, _BLOCK // max(1, features))
    for start in range(0, classes, step):
        yield slice(start, min(start + step, classes))


def logits_of(
    hidden: torch.Tensor, linear_weight: torch.Tensor, linear_bias: torch.Tensor | None, out: torch.Tensor
) -> torch.Tensor:
    """``hidden`` (n, H) times ``linear_weight`` (C, H) transposed, plus the bias, into ``out`` (n, C)."""
    if hidden.dtype == out.dtype:
        torch.mm(hidden, linear_weight.t(), out=out)
    elif _keeps_float32(hidden):
        torch.ops.aten.mm.dtype_out(hidden, linear_weight.t(), out.dtype, out=out)
    else:
        wide = hidden.to(out.dtype)
        for block in _blocks(linear_weight):
            out[:, block] = torch.mm(wide, linear_weight[block].to(out.dtype).t())
    return out if linear_bias is None else out.add_(linear_bias)


def times_weight(grad_logits: torch.Tensor, linear_weight: torch.Tensor) -> torch.Tensor:
    """``grad_logits`` (n, C) times ``linear_weight`` (C, H), in the dtype of ``grad_logits``."""
    if linear_weight.dtype == grad_logits.dtype:
        return torch.mm(grad_logits, linear_weight)
    if _keeps_float32(grad_logits):
        narrow = grad_logits.to(linear_weight.dtype)
        return torch.ops.aten.mm.dtype(narrow, linear_weight, grad_logits.dtype)
    found = grad_logits.new_zeros(grad_logits.shape[0], linear_weight.shape[1])
    for block in _blocks(linear_weight):
        found.addmm_(grad_logits[:, block], linear_weight[block].to(found.dtype))
    return found


def add_outer(total: torch.Tensor, grad_logits: torch.Tensor, hidden: torch.Tensor) -> None:
    """``grad_logits`` (n, C) transposed times ``hidden`` (n, H), added to ``total`` (C, H)."""
    if hidden.dtype != total.dtype and _keeps_float32(hidden):
        narrow = grad_logits.to(hidden.dtype).t()
        torch.ops.aten.addmm.dtype_out(total, narrow, hidden, total.dtype, out=total)
        return
    total.addmm_(grad_logits.t(), hidden.to(total.dtype))
