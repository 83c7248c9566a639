"""How each regime turns base draws into logits, by exactly rounded operations alone: devices agree in every bit."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

#: exp(-d) is just below the unit roundoff 2^-24 of float32 (in which halves accumulate too), or 2^-53 of float64.
_SWAMP_DEPTH = {"float64": 36.7369, "float32": 16.6356, "bfloat16": 16.6356, "float16": 16.6356}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a cell.

    ``values`` (n, C) are float64 base draws that a shaper may overwrite; ``target`` (n,); ``chance`` (n, 4) uniform
    draws of each row; ``index`` (n,) row numbers; ``mask`` (C,) True on C // 2 classes drawn for the cell.
    """

    values: Tensor
    target: Tensor
    chance: Tensor
    index: Tensor
    mask: Tensor
    dtype: str

    @property
    def classes(self) -> int:
        """C."""
        return self.values.shape[1]

    @property
    def largest(self) -> float:
        """Largest finite value of the dtype."""
        return torch.finfo(getattr(torch, self.dtype)).max

    def other(self, which: int = 0) -> Tensor:
        """A class other than the target, drawn by chance number ``which``, int64 (n,); the target itself if C = 1."""
        step = (self.chance[:, which] * (self.classes - 1)).long() + min(1, self.classes - 1)
        return (self.target + step) % self.classes

    def either(self, condition: Tensor, yes: float, no: float) -> Tensor:
        """``yes`` where ``condition``, else ``no``, in float64: torch.where of two numbers would be float32."""
        return torch.where(condition, self.values.new_tensor(yes), self.values.new_tensor(no))

    def put(self, column: Tensor, value: Tensor | float) -> Tensor:
        """Write ``value`` (n,) into class ``column`` (n,) of each row."""
        content = value.unsqueeze(1) if isinstance(value, Tensor) else torch.full_like(self.chance[:, :1], value)
        return self.values.scatter_(1, column.unsqueeze(1), content)


Shaper = Callable[[Rows], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Base draws (``normal`` or ``uniform``) times ``scale``, then ``shape`` on rows, if any."""

    base: str = "normal"
    scale: float = 1.0
    shape: Shaper | None = None

    def draw(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """``count`` base draws, float64."""
        draws = rng.random(count) if self.base == "uniform" else rng.standard_normal(count)
        if self.scale != 1.0:
            draws *= self.scale
        return draws


def _equal(rows: Rows) -> Tensor:
    level = (rows.chance[:, :1] * 4).long()
    constants = rows.values.new_tensor([0.0, 0.1, 1e4, 0.0])
    row = torch.where(level == 3, rows.values[:, :1] * 0.02, constants[level])
    return row.expand_as(rows.values)


def _raise(low: float, high: float, *, other: bool) -> Shaper:
    """The target (or another class) above the largest of the rest by log C + a draw between ``low`` and ``high``."""

    def shape(rows: Rows) -> Tensor:
        column = rows.other() if other else rows.target
        top = rows.put(column, -math.inf).amax(1)
        gap = rows.chance[:, 1] * (high - low) + (math.log(rows.classes) + low)
        return rows.put(column, top + gap)

    return shape


def _offset(rows: Rows) -> Tensor:
    return rows.values.add_(rows.either(rows.chance[:, :1] < 0.5, 1e4, -1e4))


def _huge_offset(rows: Rows) -> Tensor:
    size = rows.either(rows.chance[:, 1] < 0.5, 1e8, 1e30).clamp(max=rows.largest / 2)
    level = torch.where(rows.chance[:, 2] < 0.5, size, -size)
    rows.values.copy_((level - size * 0.25).unsqueeze(1).expand_as(rows.values))
    rows.put(rows.other(), level)
    return rows.put(rows.target, level)


def _wide(rows: Rows) -> Tensor:
    return rows.values.clamp_(-rows.largest, rows.largest)


def _mixture(rows: Rows) -> Tensor:
    """A quarter of the entries at the largest finite value, a quarter at the lowest, half of them ordinary."""
    quartile = 0.6744897501960817
    largest = rows.largest
    ends = rows.either(rows.values > 0, largest, -largest)
    return torch.where(rows.values.abs() > quartile, ends, rows.values)


def _edge(rows: Rows) -> Tensor:
    # half of the rows mixed; a quarter all lowest but the target; a quarter lowest throughout
    chance, largest = rows.chance[:, :1], rows.largest
    rows.values.copy_(torch.where(chance < 0.5, _mixture(rows), -largest))
    return rows.put(rows.target, rows.either(chance[:, 0] < 0.75, largest, -largest))


def _edge_wrong(rows: Rows) -> Tensor:
    rows.values.copy_(_mixture(rows))
    rows.put(rows.other(), rows.largest)
    return rows.put(rows.target, -rows.largest)


def _masked(rows: Rows) -> Tensor:
    # every row sees the same random pattern turned so that one of its free places falls on the target
    free = (~rows.mask).nonzero().squeeze(1)
    place = free[(rows.chance[:, 0] * free.numel()).long()]
    turn = (place - rows.target) % rows.classes
    windows = torch.cat((rows.mask, rows.mask)).unfold(0, rows.classes, 1)
    return rows.values.masked_fill_(windows[turn], -math.inf)


def _masked_target(rows: Rows) -> Tensor:
    return rows.put(rows.target, -math.inf)


def _lone(rows: Rows) -> Tensor:
    kept = rows.values.gather(1, rows.target.unsqueeze(1)).squeeze(1)
    rows.values.fill_(-math.inf)
    return rows.put(rows.target, kept)


def _swamp(rows: Rows) -> Tensor:
    dtype = getattr(torch, rows.dtype)
    depth = torch.tensor(_SWAMP_DEPTH[rows.dtype], dtype=dtype)
    if float(depth) < _SWAMP_DEPTH[rows.dtype] and dtype.itemsize == 2:
        # rounded down, exp(-depth) would exceed the roundoff and nothing would be swamped
        depth = torch.nextafter(depth, torch.tensor(math.inf, dtype=dtype))
    rows.values.fill_(-float(depth))
    rows.values[:, 0] = 0.0
    return rows.values


def _sorted(*, descending: bool) -> Shaper:
    def shape(rows: Rows) -> Tensor:
        if rows.values.is_cuda:
            values = rows.values.sort(dim=1).values
        else:
            # numpy sorts with vector instructions: inputs of 1024×32000 take 0.7 s, with torch's sort 3.1 s
            values = torch.from_numpy(np.sort(rows.values.numpy(), axis=1))
        return values.flip(1) if descending else values

    return shape


def _ties(rows: Rows) -> Tensor:
    top = rows.values.amax(1)
    for which in range(min(3, rows.classes - 1)):
        rows.put(rows.other(which), top)
    return rows.put(rows.target, top)


def _denormal(rows: Rows) -> Tensor:
    info = torch.finfo(getattr(torch, rows.dtype))
    steps = (rows.values * 200).floor_().sub_(100)
    steps += (steps >= 0).to(torch.float64)
    return steps * (info.tiny * info.eps)


def _nonfinite(rows: Rows) -> Tensor:
    kind, column = rows.index % 8, rows.other()
    rows.values[kind == 1] = -math.inf
    kept = rows.values.gather(1, column.unsqueeze(1)).squeeze(1)
    kept = kept.masked_fill(kind == 3, math.nan).masked_fill(kind == 5, math.inf)
    return rows.put(column, kept)


#: Regime name → how it is drawn; ``captured`` has no recipe.
RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "normal": Recipe(),
        "small": Recipe(scale=0.1),
        "uniform": Recipe(base="uniform"),
        "sigma10": Recipe(scale=10.0),
        "equal": Recipe(shape=_equal),
        "confident": Recipe(shape=_raise(12.0, 25.0, other=False)),
        "wrong": Recipe(shape=_raise(12.0, 25.0, other=True)),
        "near_one_hot_12": Recipe(shape=_raise(12.0, 12.0, other=False)),
        "near_one_hot_25": Recipe(shape=_raise(25.0, 25.0, other=False)),
        "near_one_hot_90": Recipe(shape=_raise(90.0, 90.0, other=False)),
        "near_one_hot_12_other": Recipe(shape=_raise(12.0, 12.0, other=True)),
        "near_one_hot_25_other": Recipe(shape=_raise(25.0, 25.0, other=True)),
        "near_one_hot_90_other": Recipe(shape=_raise(90.0, 90.0, other=True)),
        "offset": Recipe(shape=_offset),
        "huge_offset": Recipe(shape=_huge_offset),
        "wide": Recipe(scale=1e4, shape=_wide),
        "edge": Recipe(shape=_edge),
        "edge_wrong": Recipe(shape=_edge_wrong),
        "masked": Recipe(shape=_masked),
        "masked_target": Recipe(shape=_masked_target),
        "lone": Recipe(shape=_lone),
        "swamp": Recipe(shape=_swamp),
        "sorted_ascending": Recipe(shape=_sorted(descending=False)),
        "sorted_descending": Recipe(shape=_sorted(descending=True)),
        "ties": Recipe(shape=_ties),
        "denormal": Recipe(base="uniform", shape=_denormal),
        "nonfinite": Recipe(shape=_nonfinite),
    }
)
