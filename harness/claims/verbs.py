"""The verbs that test claims on single values: each takes its parameters and the claim's values, and gives evidence."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from harness.claims.model import Evidence
from harness.claims.printed import read_table
from harness.claims.steps import Values, run_step

#: (parameters, values) → (whether the claim holds, evidence).
Parameters = Mapping[str, Any]
Result = tuple[bool | None, list[Evidence]]
Verb = Callable[[Parameters, Values], Result]


def equal_to_figure(parameters: Parameters, values: Values) -> Result:
    """The value is the published figure, to half a unit of its last digit."""
    line = _compared(parameters["what"] or parameters["value"], parameters["value"], parameters["published"], values)
    return bool(line.agrees), [line]


def consistent(parameters: Parameters, values: Values) -> Result:
    """Every published line is what its value prints; lines without a published figure are only shown."""
    lines = [
        Evidence(what=line["what"], found=_text(values.tensors[line["value"]]))
        if line["published"] is None
        else _compared(line["what"], line["value"], line["published"], values)
        for line in parameters["lines"]
    ]
    return all(line.agrees is not False for line in lines), lines


def same_value(parameters: Parameters, values: Values) -> Result:
    """First and second differ by no more than the rounding of their sums."""
    what, found, distance, allowed = _distance(parameters, values)
    agrees = distance <= allowed
    off = "" if agrees else f"apart by {distance:.3g}"
    return agrees, [Evidence(what=what, found=found, published="equal but for rounding", off=off, agrees=agrees)]


def different(parameters: Parameters, values: Values) -> Result:
    """First and second differ by more than the rounding of their sums."""
    what, found, distance, allowed = _distance(parameters, values)
    agrees = distance > allowed
    off = f"apart by {distance:.3g}" if agrees else ""
    return agrees, [Evidence(what=what, found=found, published="not equal", off=off, agrees=agrees)]


def between(parameters: Parameters, values: Values) -> Result:
    """Every entry lies within the bounds."""
    value, low, high = values.tensors[parameters["value"]], parameters["low"], parameters["high"]
    smallest, largest = float(value.min()), float(value.max())
    agrees = (low is None or smallest >= low) and (high is None or largest <= high)
    bounds = " and ".join(
        text
        for text in (f"at least {low:g}" if low is not None else "", f"at most {high:g}" if high is not None else "")
        if text
    )
    what = parameters["what"] or parameters["value"]
    return agrees, [Evidence(what=what, found=_text(value), published=bounds, agrees=agrees)]


def runs(parameters: Parameters, values: Values) -> Result:
    """The call answers; where it raises, the evidence is the error."""
    what = _call_text(parameters["call"])
    try:
        found = run_step(parameters["call"], values.tensors)
    except Exception as error:
        text = str(error).strip().splitlines()[0]
        told = f"{type(error).__name__}: {text}"
        return False, [Evidence(what=what, found=told, published="an answer", agrees=False)]
    return True, [Evidence(what=what, found=_text(found), published="an answer", agrees=True)]


def warns(parameters: Parameters, values: Values) -> Result:
    """The call answers, and warns with the text named."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = run_step(parameters["call"], values.tensors)
    said = [str(warning.message) for warning in caught]
    matching = [text for text in said if parameters["says"] in text]
    told = f"warned: {matching[0].splitlines()[0][:140]}" if matching else f"warned {len(said)} times, not so"
    what = _call_text(parameters["call"])
    line = Evidence(
        what=what, found=f"{_text(found)}; {told}", published=f"a warning: …{parameters['says']}…",
        agrees=bool(matching),
    )  # fmt: skip
    return bool(matching), [line]


def common_input(parameters: Parameters, values: Values) -> Result:
    """Two log-softmax tables belong to one input, and ``drawn`` is that input but for one constant.

    A = x - c_j (along dim 0) and B = x - r_i (along dim 1) give A - B = r_i - c_j, so that rows of A - B differ by a
    constant; then x = B + r is known but for one number, and its log-softmax along dim 0 must be A. Each printed
    figure may be off by half a unit h, and each of these differences is one of at most four figures: 4 h.
    """
    along = [_table(parameters["along_0"]), _table(parameters["along_1"])]
    unit = max(figure.half_unit for row in read_table(parameters["along_0"]) for figure in row)
    by_row = (along[0] - along[1])[:1] - (along[0] - along[1])  # (R, C): r_0 - r_i in every column
    spread = float((by_row.max(1).values - by_row.min(1).values).max())
    row = -by_row.mean(1, keepdim=True)
    implied = along[1] + row  # x - r_0
    off_columns = float((torch.logsumexp(implied, 0) + along[0] - implied).abs().max())
    off_rows = float(torch.logsumexp(along[1], 1).abs().max())
    drawn = values.tensors[parameters["drawn"]].double()
    offset = drawn - implied
    from_drawn = float((offset - offset.mean()).abs().max())
    lines = [
        _bounded("by how much two rows of A - B differ from a constant (0 for tables of one input)", spread, 4 * unit),
        _bounded("the input x from A - B, its log-softmax along dim 0 against A", off_columns, 4 * unit),
        _bounded("log-sum-exp of the rows of B (0 for log-probabilities)", off_rows, 4 * unit),
        _bounded("x against the draw, but for one constant", from_drawn, 4 * unit),
    ]
    return all(line.agrees for line in lines), lines


VERBS: Mapping[str, Verb] = {
    "equal_to_figure": equal_to_figure,
    "consistent": consistent,
    "same_value": same_value,
    "different": different,
    "between": between,
    "runs": runs,
    "warns": warns,
    "common_input": common_input,
}


def _compared(what: str, name: str, published: str, values: Values) -> Evidence:
    """Value ``name`` against the figures published: half a unit of the last digit, and what rounded inputs explain."""
    printed = [figure for row in read_table(published) for figure in row]
    found = values.tensors[name].detach().double().flatten().tolist()
    if len(found) != len(printed):
        shapes = {"found": f"{len(found)} values", "published": f"{len(printed)} figures"}
        return Evidence(what=what, **shapes, off="shape", agrees=False)
    reach = _reach_of_rounded_inputs(values.tensors[name], values)
    judged = list(zip(printed, found, reach, strict=True))
    wrong = [figure.off(one) for figure, one, more in judged if not figure.agrees(one, more)]
    off = f"{len(wrong)} of {len(found)} figures, by up to {max(wrong):.4g} units of the last digit" if wrong else ""
    text = " ".join(f"{one:.{figure.decimals}f}" for figure, one in zip(printed, found, strict=True))
    return Evidence(what=what, found=text, published=" ".join(published.split()), off=off, agrees=not wrong)


def _reach_of_rounded_inputs(value: Tensor, values: Values) -> list[float]:
    """How far each entry may move as inputs were printed rounded: Σ |∂entry/∂input| × half a unit (first order)."""
    entries = value.flatten()
    if not values.half_units or not value.requires_grad:
        return [0.0] * len(entries)
    inputs = [values.tensors[name] for name in values.half_units]
    halves = list(values.half_units.values())
    found: list[float] = []
    for entry in entries:
        gradients = torch.autograd.grad(entry, inputs, retain_graph=True, allow_unused=True)
        found.append(
            sum(float((g.abs() * half).sum()) for g, half in zip(gradients, halves, strict=True) if g is not None)
        )
    return found


def _distance(parameters: Parameters, values: Values) -> tuple[str, str, float, float]:
    """(what, found, largest difference, what the rounding of the sums allows).

    A sum of n terms of size at most m is off by at most n u m (Higham, 2002, section 3.1); n is the number of entries
    of the largest value of the claim, with 8 operations around the sum, and m the largest entry of the two.
    """
    first, second = (values.tensors[parameters[name]].detach() for name in ("first", "second"))
    terms = max(value.numel() for value in values.tensors.values()) + 8
    roundoff = max(torch.finfo(one.dtype).eps / 2 for one in (first, second))
    size = float(torch.maximum(first.double().abs(), second.double().abs()).max())
    distance = float((first.double() - second.double()).abs().max())
    what = f"{parameters['first']} against {parameters['second']}"
    return what, f"{_text(first)} against {_text(second)}", distance, terms * roundoff * max(size, 1.0)


def _bounded(what: str, found: float, allowed: float) -> Evidence:
    return Evidence(what=what, found=f"{found:.1e}", published=f"at most {allowed:.1e}", agrees=found <= allowed)


def _table(text: str) -> Tensor:
    return torch.tensor([[figure.value for figure in row] for row in read_table(text)], dtype=torch.float64)


def _text(value: Tensor) -> str:
    entries = value.detach().double().flatten()
    shown = " ".join(f"{one:.5g}" for one in entries[:8].tolist())
    more = f" … ({len(entries)} values)" if len(entries) > 8 else ""
    return shown + more


def _call_text(step: Mapping[str, Any]) -> str:
    name, *options = step.items()
    arguments = name[1] if isinstance(name[1], list) else [name[1]]
    inner = ", ".join([*map(str, arguments), *(f"{key}={value}" for key, value in options)])
    return f"{name[0]}({inner})"
