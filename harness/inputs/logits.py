"""Filling logits and probability targets a piece at a time, so that memory stays near that of the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from harness.core.case import Case
from harness.inputs.capture import Capture
from harness.inputs.catalogue import find_regime
from harness.inputs.layout import class_last
from harness.inputs.regimes import RECIPES, Recipe, Rows
from harness.inputs.streams import draw_bank, stream
from harness.inputs.targets import exponential_counts

#: Elements of one piece: 8 MiB of float64 stays in a CPU's cache, a GPU wants fewer and larger ones.
_PIECE = {"cpu": 1 << 20, "cuda": 1 << 26}
#: Rows at least this long are copied one by one; shorter ones are gathered by index (measured: 0.05 s against 0.6 s
#: for 1024 float64 rows of 32,000).
_LONG_ROW = 1024

#: (first row, behind the last row) → their values (n, C), which the taker may overwrite
Source = Callable[[int, int], Tensor]


def round_to(values: Tensor, dtype: torch.dtype) -> Tensor:
    """float64 ``values`` rounded to ``dtype``; to the halves by way of float32 (on CPU and CUDA alike)."""
    return values.to(torch.float32).to(dtype) if dtype.itemsize == 2 else values.to(dtype)


def fill_logits(case: Case, target: Tensor, out: Tensor) -> Tensor | None:
    """Write the logits of a drawn regime into ``out`` (N, C, d1, …).

    Args:
        case: the cell; its regime is not ``captured``.
        target: (rows,) int64, the classes that the regime is built around.
        out: of the case's dtype, any strides.

    Returns:
        For target=argmax the class of each row's largest logit, int64 (rows,); else None.
    """
    regime = find_regime(case.regime).name
    recipe = RECIPES[regime]
    bank, starts = draw_bank(case, "logits", regime, recipe.draw)
    values = torch.from_numpy(bank).to(out.device)
    if recipe.shape is None and case.target != "argmax":
        # nothing is done to rows, so rounding the bank once saves rounding every window
        return _write(
            case, _windows(values if out.dtype == values.dtype else round_to(values, out.dtype), starts, case), out
        )
    return _write(case, _shaped(case, regime, recipe, _windows(values, starts, case), target), out)


def fill_drawn(case: Case, purpose: str, draw: Callable[[np.random.Generator, int], np.ndarray], out: Tensor) -> None:
    """Write independent draws into ``out`` (N, C, d1, …), from a stream of their own called ``purpose``."""
    bank, starts = draw_bank(case, purpose, "", draw)
    values = round_to(torch.from_numpy(bank).to(out.device), out.dtype)
    _write(case, _windows(values, starts, case), out)


def fill_captured(case: Case, capture: Capture, rows: np.ndarray, out: Tensor) -> Tensor | None:
    """Write rows ``rows`` of ``capture`` into ``out``; returns as :func:`fill_logits` does.

    Raises:
        ValueError: the capture has values beyond the range of the case's dtype.
    """
    largest = torch.finfo(out.dtype).max
    if np.abs(capture.logits).max() > largest:
        raise ValueError(f"{capture.path} has logits beyond ±{largest:g}, the range of {case.dtype}")
    table = torch.from_numpy(capture.logits).to(out.device)
    index = torch.from_numpy(rows).to(out.device)
    return _write(case, lambda first, last: table[index[first:last]], out)


def fill_probabilities(case: Case, out: Tensor) -> Tensor:
    """Write class probabilities e ÷ Σe, e exponential draws, into ``out`` (N, C, d1, …).

    Returns:
        The most probable class of each row, int64 (rows,).
    """
    bank, starts = draw_bank(case, "target", "probability", exponential_counts)
    counts = _windows(torch.from_numpy(bank).to(out.device), starts, case)
    best: list[Tensor] = []
    for first, last, view in _pieces(case, out):
        values = counts(first, last)
        best.append(values.argmax(1))
        values = values / values.sum(1, keepdim=True)
        view.copy_(round_to(values, out.dtype).view(view.shape))
    return torch.cat(best) if best else torch.empty(0, dtype=torch.int64, device=out.device)


def fill_one_hot(target: Tensor, out: Tensor) -> None:
    """Write 1 on class ``target`` (rows,) and 0 elsewhere into ``out`` (N, C, d1, …)."""
    last = class_last(out)
    out.zero_()
    last.scatter_(-1, target.view(*last.shape[:-1], 1), 1.0)


def _write(case: Case, source: Source, out: Tensor) -> Tensor | None:
    best: list[Tensor] = []
    for first, last, view in _pieces(case, out):
        values = source(first, last)
        if case.target == "argmax":
            best.append(_argmax(case, values))
        view.copy_((values if values.dtype == out.dtype else round_to(values, out.dtype)).view(view.shape))
    return torch.cat(best) if best else None


def _argmax(case: Case, values: Tensor) -> Tensor:
    """First class of the largest value before rounding, so every dtype has the same target; never ignore_index."""
    values = values.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    if 0 <= case.ignore_index < case.classes and case.classes > 1:
        values[:, case.ignore_index] = -torch.inf
        # where all the others are -inf too, the first of them
        found = values.argmax(1)
        return torch.where(found == case.ignore_index, int(case.ignore_index == 0), found)
    return values.argmax(1)


def _pieces(case: Case, out: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(first row, behind the last row, view of ``out`` as (n, d1, …, C)), whole batch entries at a time."""
    per_entry = case.rows // case.batch if case.batch else 1
    step = max(1, _PIECE.get(out.device.type, _PIECE["cpu"]) // max(1, per_entry * case.classes))
    view = class_last(out)
    for entry in range(0, case.batch, step):
        end = min(entry + step, case.batch)
        yield entry * per_entry, end * per_entry, view[entry:end]


def _windows(bank: Tensor, starts: np.ndarray, case: Case) -> Source:
    """Rows as windows of C values into ``bank``, beginning at ``starts``."""
    classes = case.classes
    if bank.numel() == case.elements:
        whole = bank.view(case.rows, classes)
        return lambda first, last: whole[first:last]
    if classes < _LONG_ROW:
        windows, index = bank.unfold(0, classes, 1), torch.from_numpy(starts).to(bank.device)
        return lambda first, last: windows[index[first:last]]

    def copied(first: int, last: int) -> Tensor:
        values = torch.empty((last - first, classes), dtype=bank.dtype, device=bank.device)
        for row, start in enumerate(starts[first:last].tolist()):
            values[row].copy_(bank[start : start + classes])
        return values

    return copied


def _shaped(case: Case, regime: str, recipe: Recipe, source: Source, target: Tensor) -> Source:
    if recipe.shape is None:
        return source
    shape, device = recipe.shape, target.device
    chance = torch.from_numpy(stream(case, "rows", regime).random((case.rows, 4))).to(device)
    order = stream(case, "mask", regime).permutation(case.classes)
    mask = torch.zeros(case.classes, dtype=torch.bool, device=device)
    mask[torch.from_numpy(order[: case.classes // 2]).to(device)] = True

    def shaped(first: int, last: int) -> Tensor:
        piece = slice(first, last)
        index = torch.arange(first, last, device=device)
        return shape(
            Rows(
                values=source(first, last),
                target=target[piece],
                chance=chance[piece],
                index=index,
                mask=mask,
                dtype=case.dtype,
            )
        )

    return shaped
