"""Judges a function of whole rows, which lie along one dimension: softmax and log-softmax. Nothing is reduced.

A family says of a block of rows, with the upstream gradient beside it, what result and gradient are and what error each
grade allows before the final rounding. The rules are those of cross-entropy's row sums (see its ``grades``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.losses.cross_entropy.grades import FLUSH, Kind, RowErrors, Rules, row_errors, rules_for
from harness.losses.cross_entropy.oracle import Softmax, softmax_of
from harness.losses.dense.entries import Truth, size_of
from harness.numerics.blocks import Block, blocks, class_rows, full_index
from harness.numerics.evaluation import Evaluation
from harness.numerics.formats import FORMATS, Array, oracle_dtype, round_to, ulp
from harness.numerics.tally import Comparison, Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """k rows: their softmax, the errors of their sums, the rules, and the upstream gradient (k, C)."""

    rows: Softmax
    errors: RowErrors
    rules: Rules
    upstream: Array

    def kinds(self, grade: str) -> tuple[Kind, ...]:
        """The kinds of arithmetic that ``grade`` allows."""
        return self.rules.standard if grade == "standard" else (self.rules.tight,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Result and gradient of k rows with their budgets by grade."""

    value: Array
    budgets: Mapping[str, Array]
    gradient: Array
    slopes: Mapping[str, Array]


Formula = Callable[[Rows], Found]


def dim_of(case: Case) -> int:
    """The dimension that the rows of ``case`` lie along, from 0 on."""
    dim = int(dict(case.options).get("dim", 1))
    return dim % (2 + len(case.dims))


def judge(
    case: Case, inputs: Inputs, result: torch.Tensor | None, gradients: Mapping[str, torch.Tensor], formula: Formula, *,
    rounding_ulps: float = 0.5,
) -> Evaluation:  # fmt: skip
    """Compare ``result`` and the gradient of ``logits`` with the truth of ``formula``."""
    dim, rules = dim_of(case), _rules(case, inputs, rounding_ulps)
    tallies: dict[str, Tally] = {}
    named = {"loss": result, **{f"grad_{name}": gradient for name, gradient in gradients.items()}}
    with np.errstate(all="ignore"):
        for block, found in walk(case, inputs, formula, rules):
            for name, tensor in named.items():
                if tensor is None:
                    continue
                truth, budgets = (found.value, found.budgets) if name == "loss" else (found.gradient, found.slopes)
                compared = Comparison(
                    truth=truth, found=class_rows(tensor.movedim(dim, 1), block, truth.dtype.type),
                    locate=partial(_locate, tuple(tensor.movedim(dim, 1).shape), block, dim),
                )  # fmt: skip
                size = size_of(truth)
                made = {grade: partial(_finished, budget, size, rules) for grade, budget in budgets.items()}
                region = "loss" if name == "loss" else "element"
                tallies.setdefault(name, Tally(name, region, rules.out)).add(compared, made)
    return Evaluation(regions=tuple(report for tally in tallies.values() if (report := tally.report()) is not None))


def true_answer(case: Case, inputs: Inputs, formula: Formula) -> Truth:
    """The truth of a whole case, each value rounded once to its dtype."""
    dim = dim_of(case)
    values, gradients = torch.empty_like(inputs.logits), torch.empty_like(inputs.logits)
    with np.errstate(all="ignore"):
        for block, found in walk(case, inputs, formula, _rules(case, inputs, 0.5)):
            for tensor, rows in ((values, found.value), (gradients, found.gradient)):
                _put(tensor, round_to(rows, FORMATS[case.dtype]), block, dim)
    return Truth(loss=values, gradients={"logits": gradients})


def allowed_losses(case: Case, inputs: Inputs, formula: Formula, *, rounding_ulps: float = 0.5) -> Array:
    """What ``standard`` allows of each entry of the result, flat float64; finite inputs are taken for granted."""
    dim, rules = dim_of(case), _rules(case, inputs, rounding_ulps)
    budgets = torch.empty(tuple(inputs.logits.shape), dtype=torch.float64)
    with np.errstate(all="ignore"):
        for block, found in walk(case, inputs, formula, rules):
            _put(budgets, _finished(found.budgets["standard"], size_of(found.value), rules), block, dim)
    return budgets.reshape(-1).numpy()


def walk(case: Case, inputs: Inputs, formula: Formula, rules: Rules) -> Iterator[tuple[Block, Found]]:
    """The rows of a case, block by block."""
    dim, real = dim_of(case), oracle_dtype(case.dtype)
    logits, upstream = inputs.logits.movedim(dim, 1), inputs.grad_output.movedim(dim, 1)
    for block in blocks(tuple(logits.shape)):
        rows = softmax_of(class_rows(logits, block, real))
        given = Rows(rows=rows, errors=row_errors(rows, rules), rules=rules, upstream=class_rows(upstream, block, real))
        yield block, _unsound_are_nan(formula(given), rows.sound)


def grades(make: Callable[[str], Array]) -> dict[str, Array]:
    """Budgets of ``tight`` and of ``standard``, which contains it."""
    tight = make("tight")
    return {"tight": tight, "standard": np.maximum(tight, make("standard"))}


def _put(tensor: torch.Tensor, rows: Array, block: Block, dim: int) -> None:
    """Write ``rows`` where the block's rows stand in ``tensor``."""
    part = tensor.movedim(dim, 1)[block.batch]
    part = part[:, :, block.first].movedim(1, -1) if part.ndim > 2 else part
    part.copy_(torch.from_numpy(rows).reshape(part.shape))


def _rules(case: Case, inputs: Inputs, rounding_ulps: float) -> Rules:
    length = inputs.logits.shape[dim_of(case)]
    rows = max(1, inputs.logits.numel() // max(1, length))
    return rules_for(replace(case, classes=length), rows, rounding_ulps)


def _unsound_are_nan(found: Found, sound: Array) -> Found:
    if sound.all():
        return found
    value, gradient = found.value.copy(), found.gradient.copy()
    value[~sound], gradient[~sound] = np.nan, np.nan
    return replace(found, value=value, gradient=gradient)


def _finished(budget: Array, size: Array, rules: Rules) -> Array:
    whole = budget + FLUSH
    return whole + ulp(size + whole, rules.out, ulps=rules.rounding_ulps)


def _locate(shape: tuple[int, ...], block: Block, dim: int, at: int) -> tuple[int, ...]:
    row, column = divmod(at, shape[1])
    first, place, *rest = full_index(shape, block.start + row, column)
    others = [first, *rest]
    others.insert(dim, place)
    return tuple(others)
