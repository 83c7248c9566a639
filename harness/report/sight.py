"""What the checks of a cell see, as a run kept it: the smallest change of its loss and gradient that is caught."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from harness.core.case import INTERPRETER, Case


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The smallest ε caught in the loss and in the gradient's worst region (None: not even a zeroed one is, or not
    measured), and whether the cell is ``value_only``: a zeroed region of its gradient passes."""

    loss: float | None = None
    gradient: float | None = None
    value_only: bool | None = None


def sight_case(case: Case) -> Case:
    """``case`` without what no budget depends on: pass, strides and device (but the interpreter's rounding does)."""
    device = case.device if case.device == INTERPRETER else "cpu"
    return replace(case, pass_="forward_backward", layout="contiguous", device=device)


def sights_of(header: Mapping[str, Any]) -> dict[str, Sight]:
    """Cell of :func:`sight_case` → what is seen there, from the header of a run; empty where it was not measured."""
    kept = header.get("blindness")
    entries = kept.get("cells", ()) if isinstance(kept, Mapping) else ()
    by_cell: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for entry in entries:
        if isinstance(entry, Mapping) and isinstance(entry.get("cell"), str):
            by_cell[entry["cell"]].append(entry)
    return {cell: _sight(found) for cell, found in by_cell.items()}


def _sight(found: list[Mapping[str, Any]]) -> Sight:
    of_loss = [entry for entry in found if entry.get("value") == "loss"]
    of_gradient = [entry for entry in found if entry.get("value") != "loss"]
    return Sight(
        loss=_worst(of_loss), gradient=_worst(of_gradient),
        value_only=any(not entry.get("sees_zero") for entry in of_gradient) if of_gradient else None,
    )  # fmt: skip


def _worst(found: list[Mapping[str, Any]]) -> float | None:
    """The largest of the ε caught; None where a zeroed region is not seen."""
    sizes = [entry.get("epsilon") if entry.get("sees_zero") else None for entry in found]
    known = [float(size) for size in sizes if isinstance(size, int | float)]
    return max(known) if known and len(known) == len(sizes) else None
