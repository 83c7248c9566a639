"""Streams one case's rows through the oracle and tallies every region of the answer under judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch

from harness.losses.cross_entropy.budget_loss import final_rows, reduced
from harness.losses.cross_entropy.grades import plain_float
from harness.losses.cross_entropy.oracle import grad_logits_of
from harness.losses.cross_entropy.truth import reduce_losses
from harness.losses.linear_cross_entropy.budget import (
    GRADIENT_GRADES,
    common_factor,
    finished,
    logit_gradient_budget,
    loss_budgets,
    product_budget,
)
from harness.losses.linear_cross_entropy.logits import Chunk, LinearRules, chunks
from harness.losses.linear_cross_entropy.problem import LinearProblem
from harness.numerics.blocks import flat_rows, to_numpy
from harness.numerics.evaluation import GRADES, Evaluation
from harness.numerics.formats import Array
from harness.numerics.tally import Comparison, Tally

_ORDER = [
    ("loss", "loss"), ("loss", "ignored"), ("grad_input", "kept"), ("grad_input", "ignored"),
    ("grad_linear_weight", "target"), ("grad_linear_weight", "other"), ("grad_linear_weight", "probability"),
    ("grad_linear_bias", "target"), ("grad_linear_bias", "other"), ("grad_linear_bias", "probability"),
]  # fmt: skip

Made = Mapping[str, Callable[[], Array]]


class Sums:
    """The gradients of weight and bias, and their budgets by grade, as they add up over the chunks."""

    def __init__(self, problem: LinearProblem) -> None:
        classes, features = problem.weight.shape
        self.weight = np.zeros((classes, features), dtype=problem.rows.real)
        self.bias = np.zeros(classes, dtype=problem.rows.real)
        self.weight_budgets = {grade: np.zeros((classes, features)) for grade in GRADIENT_GRADES}
        self.bias_budgets = {grade: np.zeros(classes) for grade in GRADIENT_GRADES}
        # squares of what half precision may round, for sums of independent roundings
        self.weight_squares = np.zeros((classes, features))
        self.bias_squares = np.zeros(classes)

    def add(self, problem: LinearProblem, chunk: Chunk, gradient: Array) -> None:
        """Take the gradient (k, C) of a chunk's logits into account."""
        self.weight += gradient.T @ problem.hidden[chunk.where]
        self.bias += gradient.sum(axis=0)

    def allow(self, problem: LinearProblem, chunk: Chunk, grade: str, budget: Array) -> None:
        """Add what ``grade`` allows of a chunk's gradient, ``budget`` (k, C)."""
        self.weight_budgets[grade] += budget.T @ problem.hidden_size[chunk.where]
        self.bias_budgets[grade] += budget.sum(axis=0)

    def allow_independent(self, problem: LinearProblem, chunk: Chunk, budget: Array) -> None:
        """Add the squares of ``budget`` (k, C), whose errors are independent from row to row."""
        self.weight_squares += (budget**2).T @ problem.hidden_size[chunk.where] ** 2
        self.bias_squares += (budget**2).sum(axis=0)

    def narrow(self) -> None:
        """Let independent roundings add up as the square root, where that is less than their sum."""
        for budgets, squares in (
            (self.weight_budgets, self.weight_squares),
            (self.bias_budgets, self.bias_squares),
        ):
            narrower = budgets["tight"] + 8.0 * np.sqrt(squares)
            budgets["standard"] = np.maximum(budgets["tight"], np.minimum(budgets["standard"], narrower))


class Judge:
    """One comparison under way: what was asked, what was found, and the tallies. ``run`` gives the evaluation."""

    def __init__(
        self, problem: LinearProblem, rules: LinearRules, *, loss: torch.Tensor | None,
        gradients: Mapping[str, torch.Tensor],
    ) -> None:  # fmt: skip
        self._problem, self._rules, self._loss = problem, rules, loss
        self._found = {name: to_numpy(tensor, problem.rows.real) for name, tensor in gradients.items()}
        self._tallies: dict[tuple[str, str], Tally] = {}
        rows = len(problem.rows.kept)
        self._losses = np.zeros(rows, dtype=problem.rows.real)
        self._loss_budgets = {grade: np.zeros(rows) for grade in GRADES}
        self._sums = Sums(problem) if {"linear_weight", "linear_bias"} & gradients.keys() else None
        self._scale = float(np.abs(plain_float(problem.rows.scale)).max(initial=0.0))

    def run(self) -> Evaluation:
        """Walk over all rows, then judge what is summed over them."""
        with np.errstate(invalid="ignore", over="ignore", under="ignore", divide="ignore"):
            for chunk in chunks(self._problem, self._rules):
                self._rows(chunk)
            if "logits" in self._found and not self._problem.rows.kept.all():
                self._ignored()
            if self._loss is not None:
                self._judge_loss(flat_rows(self._loss, self._problem.rows.real))
            if self._sums is not None:
                self._judge_parameters(self._sums)
        reports = (self._tallies[key].report() for key in sorted(self._tallies, key=_ORDER.index))
        return Evaluation(regions=tuple(report for report in reports if report is not None))

    def _tally(self, value: str, region: str) -> Tally:
        return self._tallies.setdefault((value, region), Tally(value, region, self._rules.rows.out))

    def _rows(self, chunk: Chunk) -> None:
        if self._loss is not None:
            self._losses[chunk.where] = chunk.piece.terms.value
            for grade, budget in loss_budgets(chunk, self._problem, self._rules).items():
                self._loss_budgets[grade][chunk.where] = budget
        if not self._found:
            return
        gradient = grad_logits_of(chunk.piece.rows, chunk.piece.mass, chunk.piece.scale)
        gradient[~chunk.piece.counted] = np.nan
        size = np.abs(plain_float(gradient))
        budgets = {
            grade: logit_gradient_budget(chunk, self._problem, self._rules, grade, gradient)
            for grade in GRADIENT_GRADES
        }
        if self._sums is not None:
            self._sums.add(self._problem, chunk, gradient)
            for grade, budget in budgets.items():
                self._sums.allow(self._problem, chunk, grade, budget + self._rules.weight * size)
            if self._narrows(chunk):
                self._sums.allow_independent(self._problem, chunk, budgets["standard"])
        if "logits" in self._found:
            self._to_hidden(chunk, gradient, budgets)

    def _narrows(self, chunk: Chunk) -> bool:
        """Whether roundings to half precision may be taken for independent."""
        return self._rules.independent and self._rules.rows.rounds and chunk.piece.mass.spread is None

    def _to_hidden(self, chunk: Chunk, gradient: Array, budgets: Mapping[str, Array]) -> None:
        truth, common, column = gradient @ self._problem.weight, None, chunk.piece.mass.column
        if self._narrows(chunk) and column is not None:
            own = gradient[np.arange(len(gradient)), column][:, None] * self._problem.weight[column]
            factor = common_factor(budgets["standard"], gradient, column)
            common = factor[:, None] * np.abs(plain_float(truth - own))
        allowed = product_budget(gradient, budgets, self._problem.weight_size, depth=self._rules.hidden, common=common)
        self._hidden(chunk, truth, allowed)

    def _hidden(self, chunk: Chunk, truth: Array, budgets: Mapping[str, Array]) -> None:
        where, features = chunk.where, truth.shape[1]
        compared = Comparison(
            truth=truth, found=self._found["logits"][where],
            locate=lambda at: (int(where[at // features]), int(at % features)),
        )  # fmt: skip
        self._tally("grad_input", "kept").add(compared, self._finished(budgets, truth))

    def _ignored(self) -> None:
        where = np.flatnonzero(~self._problem.rows.kept)
        found = self._found["logits"][where]
        features = found.shape[1]
        exact = Comparison(
            truth=np.zeros_like(found), found=found,
            locate=lambda at: (int(where[at // features]), int(at % features)),
        )  # fmt: skip
        self._tally("grad_input", "ignored").add(exact, {"standard": partial(np.zeros, found.shape)})

    def _judge_parameters(self, sums: Sums) -> None:
        if sums.bias_squares.any():
            sums.narrow()
        for name, truth, budgets in (
            ("linear_weight", sums.weight, sums.weight_budgets),
            ("linear_bias", sums.bias, sums.bias_budgets),
        ):
            for region, classes in self._regions() if name in self._found else ():
                columns = truth.shape[1] if truth.ndim > 1 else 0
                compared = Comparison(
                    truth=truth[classes], found=self._found[name][classes],
                    locate=partial(_locate_class, classes, columns),
                )  # fmt: skip
                allowed = {grade: budget[classes] for grade, budget in budgets.items()}
                made = self._finished(allowed, truth[classes])
                self._tally(f"grad_{name}", region).add(compared, made)

    def _regions(self) -> list[tuple[str, Array]]:
        """Regions of the classes: those that are some row's target, and the others; one with probability targets."""
        index, kept = self._problem.rows.index, self._problem.rows.kept
        every = np.arange(self._problem.rows.classes)
        if index is None:
            return [("probability", every)]
        targets = np.isin(every, index[kept])
        return [("target", every[targets]), ("other", every[~targets])]

    def _finished(self, budgets: Mapping[str, Array], truth: Array) -> Made:
        return {
            grade: partial(finished, budget, truth, self._scale, self._rules, grade)
            for grade, budget in budgets.items()
        }

    def _judge_loss(self, found: Array) -> None:
        problem, rules = self._problem.rows, self._rules.rows
        kept = problem.kept
        if problem.reduction == "none":
            budgets = final_rows(self._losses, self._loss_budgets, rules)
            for region, chosen in (("loss", kept), ("ignored", ~kept)):
                where = np.flatnonzero(chosen)
                compared = Comparison(truth=self._losses[where], found=found[where], locate=partial(_locate_row, where))
                made = {g: partial(np.zeros, len(where)) for g in budgets}
                if region == "loss":
                    made = {g: partial(np.take, budget, where) for g, budget in budgets.items()}
                self._tally("loss", region).add(compared, made)
            return
        losses = self._losses[kept]
        result = reduce_losses(problem, losses)
        budgets = reduced(result, losses, {g: b[kept] for g, b in self._loss_budgets.items()}, problem, rules)
        whole = Comparison(truth=result.reshape(1), found=found, locate=lambda at: ())
        self._tally("loss", "loss").add(whole, {g: partial(np.atleast_1d, b) for g, b in budgets.items()})


def _locate_row(where: Array, at: int) -> tuple[int, ...]:
    return (int(where[at]),)


def _locate_class(classes: Array, columns: int, at: int) -> tuple[int, ...]:
    if not columns:
        return (int(classes[at]),)
    return (int(classes[at // columns]), int(at % columns))
