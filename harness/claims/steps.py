"""Make the values of a claim, step by step: drawn from torch's generator, written out, or one operation on others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from harness.claims.operations import DTYPES, OPERATIONS
from harness.claims.printed import read_table
from harness.core.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """A claim's values by name, and for those that were printed, half a unit of each entry's last digit."""

    tensors: Mapping[str, Tensor]
    half_units: Mapping[str, Tensor]


def make_values(given: Mapping[str, Mapping[str, Any]]) -> Values:
    """Every value of ``given``, in order.

    Raises:
        UsageError: a step names no operation, or a value that no earlier step made.
    """
    made: dict[str, Tensor] = {}
    half_units: dict[str, Tensor] = {}
    for name, step in given.items():
        made[name] = run_step(step, made)
        if "printed" in step:
            table = read_table(step["printed"])
            halves = torch.tensor([[one.half_unit for one in row] for row in table], dtype=torch.float64)
            half_units[name] = halves.reshape(made[name].shape)
    return Values(tensors=made, half_units=half_units)


def run_step(step: Mapping[str, Any], made: Mapping[str, Tensor]) -> Tensor:
    """What one step gives: ``draw`` (randn, after torch.manual_seed, the ``nth`` draw of that shape), ``printed``
    (figures as a tutorial prints them), ``values``, or an operation with the names or numbers it takes, and options.
    """
    if "printed" in step:
        return _printed(step["printed"])
    if "draw" in step:
        return _drawn(step)
    if "values" in step:
        return _written(step)
    names = [key for key in step if key in OPERATIONS]
    if len(names) != 1:
        raise UsageError(f"the step {dict(step)} names {len(names)} operations; allowed: {', '.join(OPERATIONS)}")
    arguments = step[names[0]] if isinstance(step[names[0]], list) else [step[names[0]]]
    options = {key: _option(value, made) for key, value in step.items() if key not in names}
    return OPERATIONS[names[0]](*(_value(argument, made) for argument in arguments), **options)


def _drawn(step: Mapping[str, Any]) -> Tensor:
    if step["draw"] != "randn":
        raise UsageError(f"draw: found {step['draw']!r}; allowed: randn")
    torch.manual_seed(step["seed"])
    for _ in range(step.get("nth", 1) - 1):
        torch.randn(step["shape"])
    drawn = torch.randn(step["shape"]).to(DTYPES[step.get("dtype", "float32")])
    return drawn.requires_grad_(bool(step.get("requires_grad", False)))


def _printed(text: str) -> Tensor:
    """A table (R, C) of printed figures, one line of them as (C,), as float64 that gradients reach."""
    table = torch.tensor([[one.value for one in row] for row in read_table(text)], dtype=torch.float64)
    return (table[0] if len(table) == 1 else table).requires_grad_()


def _written(step: Mapping[str, Any]) -> Tensor:
    dtype = DTYPES[step.get("dtype", "float64")]
    return torch.tensor(step["values"], dtype=dtype).requires_grad_(bool(step.get("requires_grad", False)))


def _value(argument: Any, made: Mapping[str, Tensor]) -> Any:
    if not isinstance(argument, str):
        return argument
    if argument not in made:
        raise UsageError(f"no earlier step made {argument!r}; there are {', '.join(made) or 'none'}")
    return made[argument]


def _option(value: Any, made: Mapping[str, Tensor]) -> Any:
    return made[value] if isinstance(value, str) and value in made else value
