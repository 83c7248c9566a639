"""Streams one case's rows through the oracle and tallies every region of the answer under judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Lock

import numpy as np
import torch

from harness.hardware.host import usable_cores
from harness.losses.cross_entropy.budget_gradient import GradientBudget, finished
from harness.losses.cross_entropy.budget_loss import final_rows, reduced, row_budgets
from harness.losses.cross_entropy.grades import RowErrors, Rules, plain_float, row_errors
from harness.losses.cross_entropy.oracle import grad_logits_of, grad_target_of
from harness.losses.cross_entropy.problem import CrossEntropyInputs, Mass, Problem
from harness.losses.cross_entropy.residue import Residue
from harness.losses.cross_entropy.truth import Piece, piece_of, reduce_losses, weight_terms
from harness.numerics.blocks import Block, blocks, class_rows, flat_rows, full_index, row_index, to_numpy
from harness.numerics.evaluation import GRADES, Evaluation
from harness.numerics.formats import Array
from harness.numerics.tally import Comparison, Tally

#: Gradients have no budget of their own under ``relative``: it keeps that of ``tight``.
_GRADIENT_GRADES = ("standard", "tight")
#: Regions in the order in which they are reported, whichever thread met them first.
_ORDER = [
    ("loss", "loss"), ("loss", "ignored"), ("grad_logits", "target"), ("grad_logits", "other"),
    ("grad_logits", "probability"), ("grad_logits", "ignored"), ("grad_target", "probability"),
    ("grad_weight", "probability"),
]  # fmt: skip
#: Each thread holds some 30 MB of float64 blocks.
_MAX_THREADS = 16

Made = dict[str, Callable[[], Array]]


class Judge:
    """One comparison under way: what was asked, what was found, and the tallies. ``run`` gives the evaluation."""

    def __init__(
        self, problem: Problem, rules: Rules, inputs: CrossEntropyInputs, *, loss: torch.Tensor | None,
        gradients: Mapping[str, torch.Tensor],
    ) -> None:  # fmt: skip
        self._problem, self._rules, self._inputs = problem, rules, inputs
        self._loss, self._gradients = loss, gradients
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._lock = Lock()
        self._losses = np.zeros(len(problem.kept), dtype=problem.real)
        self._loss_budgets = {grade: np.zeros(len(problem.kept)) for grade in GRADES}
        self._by_weight = np.zeros(problem.classes, dtype=problem.real)
        self._overflows = np.zeros(len(problem.kept), dtype=bool)
        self._infinite = np.zeros(len(problem.kept), dtype=bool)
        self._skippable = np.zeros(len(problem.kept), dtype=bool)
        self._weight_undefined = np.zeros(problem.classes, dtype=bool)
        self._weight_budgets = {grade: np.zeros(problem.classes) for grade in _GRADIENT_GRADES}

    def run(self) -> Evaluation:
        """Walk over all rows, then judge what is reduced over them."""
        with np.errstate(invalid="ignore", over="ignore", under="ignore", divide="ignore"):
            self._all_rows()
            if "logits" in self._gradients and not self._problem.kept.all():
                self._ignored_gradient(self._gradients["logits"])
            if self._loss is not None:
                self._judge_loss(flat_rows(self._loss, self._problem.real))
            if "weight" in self._gradients:
                self._judge_weight(to_numpy(self._gradients["weight"], self._problem.real))
        reports = (self._tallies[key].report() for key in sorted(self._tallies, key=_ORDER.index))
        return Evaluation(regions=tuple(report for report in reports if report is not None))

    def _all_rows(self) -> None:
        """Every block of rows; by threads where there are several, as numpy lets go of the interpreter meanwhile."""
        todo = list(blocks(self._problem.shape))
        if len(todo) <= 1:
            for block in todo:
                self._block(block)
            return
        with ThreadPoolExecutor(max_workers=min(len(todo), usable_cores(), _MAX_THREADS)) as pool:
            for _ in pool.map(self._block, todo):
                pass

    def _block(self, block: Block) -> None:
        # the error state of numpy belongs to the thread
        with np.errstate(invalid="ignore", over="ignore", under="ignore", divide="ignore"):
            piece = piece_of(self._problem, self._inputs, block)
            if piece is not None:
                self._rows(piece)

    def _tally(self, value: str, region: str) -> Tally:
        return self._tallies.setdefault((value, region), Tally(value, region, self._rules.out))

    def _rows(self, piece: Piece) -> None:
        where = np.arange(piece.block.start, piece.block.stop)[piece.kept]
        errors = row_errors(piece.rows, self._rules)
        if self._loss is not None:
            self._losses[where] = piece.terms.value
            self._infinite[where] = piece.rows.top == np.inf
            self._overflows[where] = piece.overflows(self._rules.out)
            if not piece.rows.sound.all():
                self._skippable[where] = ~piece.rows.sound & piece.mass.none
            for grade, budget in row_budgets(piece, errors, self._problem, self._rules).items():
                self._loss_budgets[grade][where] = budget
        if "logits" in self._gradients:
            self._logits(piece, errors, where)
        if "target" in self._gradients:
            self._target(piece, errors, where)
        if "weight" in self._gradients:
            with self._lock:
                self._weight(piece, errors)

    def _found(self, name: str, block: Block, kept: Array) -> Array:
        found = class_rows(self._gradients[name], block, self._problem.real)
        return found if kept.all() else found[kept]

    def _budget(self, piece: Piece, errors: RowErrors) -> GradientBudget:
        return GradientBudget(
            rows=piece.rows, errors=errors, mass=piece.mass, problem=self._problem, rules=self._rules, scale=piece.scale
        )

    def _logits(self, piece: Piece, errors: RowErrors, where: Array) -> None:
        found = self._found("logits", piece.block, piece.kept)
        if not piece.counted.all():
            # x - lse, with +inf for both or for the larger: NaN in one formula, a limit in another
            odd = ~piece.counted & (piece.rows.top != np.inf) & ~_skipped(piece, found)
            nan = np.full_like(found[odd], np.nan)
            exact = {"standard": partial(np.zeros, nan.shape)}
            column = None if piece.mass.column is None else piece.mass.column[odd]
            own = {"standard": partial(np.zeros, len(nan))}
            self._by_column(nan, found[odd], where[odd], column=column, other=exact, target=own)
            keep = piece.counted
            piece, errors, found, where = piece.take(keep), errors.take(keep), found[keep], where[keep]
        gradient = grad_logits_of(piece.rows, piece.mass, piece.scale)
        residue = Residue(
            truth=gradient, found=found, column=piece.mass.column, reach=piece.rows.reach, u=self._rules.u
        )
        other, target = _logit_budgets(
            self._budget(piece, errors), piece.mass, gradient, None if self._rules.rounds else residue
        )
        if piece.mass.spread is None and not self._rules.rounds:
            target = {**target, "standard": residue.at_target(target["standard"], other["standard"])}
            other = {**other, "standard": residue.at_top(other["standard"])}
        self._by_column(gradient, found, where, column=piece.mass.column, other=other, target=target)

    def _by_column(
        self, truth: Array, found: Array, where: Array, *, column: Array | None, other: Made, target: Made
    ) -> None:
        """Tally the gradient of the rows ``where``, the target's column apart where targets are class indices."""
        every = Comparison(truth=truth, found=found, locate=partial(_locate, self._problem, where))
        if column is None:
            self._tally("grad_logits", "probability").add(every, other)
            return
        at = (np.arange(len(where)), column)
        locate = partial(_locate_own, self._problem, where, column)
        own = Comparison(truth=truth[at], found=found[at], locate=locate)
        self._tally("grad_logits", "target").add(own, target)
        if self._problem.classes > 1:
            self._tally("grad_logits", "other").add(every, other, skip=at)

    def _ignored_gradient(self, gradient: torch.Tensor) -> None:
        for block in blocks(self._problem.shape):
            ignored = ~self._problem.kept[block.rows]
            if ignored.any():
                found = class_rows(gradient, block, self._problem.real)[ignored]
                where = np.arange(block.start, block.stop)[ignored]
                locate = partial(_locate, self._problem, where)
                exact = Comparison(truth=np.zeros_like(found), found=found, locate=locate)
                self._tally("grad_logits", "ignored").add(exact, {"standard": partial(np.zeros, found.shape)})

    def _target(self, piece: Piece, errors: RowErrors, where: Array) -> None:
        assert piece.terms.distance is not None
        weight, smoothing = self._problem.weight, self._problem.smoothing
        gradient = grad_target_of(piece.rows, piece.terms.distance, piece.scale, weight, smoothing)
        gradient[~piece.rows.sound] = np.nan
        scale, size = np.abs(plain_float(piece.scale))[:, None], np.abs(plain_float(gradient))
        factor = scale * (1.0 - smoothing) * (1.0 if weight is None else np.abs(plain_float(weight)))
        budget = self._budget(piece, errors)
        made: Made = {}
        for grade in _GRADIENT_GRADES:
            entries = budget.of_target(grade, size, piece.terms.distance, np.broadcast_to(factor, size.shape))
            made[grade] = partial(finished, entries, size, scale, self._rules)
        compared = Comparison(
            truth=gradient,
            found=self._found("target", piece.block, piece.kept),
            locate=partial(_locate, self._problem, where),
        )
        far = piece.far(self._rules.out.largest, factor / (1.0 - smoothing) if smoothing < 1.0 else 1.0)
        # an upstream gradient or weight of 0 times an infinite log-probability: no convention says what that is
        undefined = (far & (factor == 0.0)).nonzero()
        self._tally("grad_target", "probability").add(compared, made, skip=undefined, overflow=far)

    def _weight(self, piece: Piece, errors: RowErrors) -> None:
        assert piece.terms.distance is not None
        part = weight_terms(self._problem, piece)
        part[~piece.rows.sound] = np.nan
        self._by_weight += part.sum(axis=0)
        size = np.abs(plain_float(part))
        factor = np.abs(plain_float(piece.scale))[:, None] * np.abs(plain_float(piece.mass.inner))
        summing = self._rules.batch_depth * self._rules.u * size.sum(axis=0)
        budget = self._budget(piece, errors)
        far = piece.far(self._rules.out.largest, 1.0)
        # sums of overflowed terms of both signs, and 0 times an infinite log-probability, may be anything
        self._weight_undefined |= (far & (np.isfinite(size) | (piece.scale == 0.0)[:, None])).any(axis=0)
        for grade, sums in self._weight_budgets.items():
            np.add(sums, summing + budget.of_target(grade, size, piece.terms.distance, factor).sum(axis=0), out=sums)

    def _judge_weight(self, found: Array) -> None:
        size = np.abs(plain_float(self._by_weight))
        scale = np.abs(plain_float(self._problem.scale)).max(initial=1.0)
        made: Made = {g: partial(finished, b, size, scale, self._rules) for g, b in self._weight_budgets.items()}
        compared = Comparison(truth=self._by_weight, found=found, locate=lambda at: (at,))
        undefined = self._weight_undefined.nonzero()
        self._tally("grad_weight", "probability").add(compared, made, skip=undefined)

    def _judge_loss(self, found: Array) -> None:
        kept, problem, rules = self._problem.kept, self._problem, self._rules
        if problem.reduction == "none":
            # of a logit of +inf the loss is NaN as torch's, or its limit
            self._losses[self._infinite & (found == np.inf)] = np.inf
            self._skip(self._skippable & (found == 0.0))
            budgets = final_rows(self._losses, self._loss_budgets, rules)
            for region, chosen in (("loss", kept), ("ignored", ~kept)):
                where = np.flatnonzero(chosen)
                locate = partial(_locate_row, problem.shape, where)
                rows = Comparison(truth=self._losses[where], found=found[where], locate=locate)
                exact = np.zeros(len(where)) if region == "ignored" else None
                made = _given(budgets, where, exact)
                self._tally("loss", region).add(rows, made, overflow=self._overflows[where])
            return
        if np.isfinite(found).all():
            self._skip(self._skippable)
        losses = self._losses[kept]
        result = reduce_losses(problem, losses)
        if self._infinite.any() and not np.isnan(self._losses[~self._infinite]).any() and (found == np.inf).all():
            result = np.full_like(result, np.inf)
        budgets = reduced(result, losses, {g: b[kept] for g, b in self._loss_budgets.items()}, problem, rules)
        made = _given(budgets, slice(None), None)
        whole = Comparison(truth=result.reshape(1), found=found, locate=lambda at: ())
        self._tally("loss", "loss").add(whole, made, overflow=bool(self._overflows.any()))

    def _skip(self, rows: Array) -> None:
        """Take the loss of ``rows`` for 0: they hold NaN and have no mass, and a kernel need not read them."""
        self._losses[rows] = 0.0
        for budget in self._loss_budgets.values():
            budget[rows] = 0.0


def _skipped(piece: Piece, found: Array) -> Array:
    """Rows without mass, or without an upstream gradient, that were given a gradient of 0 whatever they hold."""
    return (piece.mass.none | (piece.scale == 0.0)) & (found == 0.0).all(axis=1)


def _logit_budgets(
    budget: GradientBudget, mass: Mass, gradient: Array, residue: Residue | None
) -> tuple[Made, Made]:  # fmt: skip
    """Budgets of all columns (right off the target's) and of the target's, made when they are asked for.

    Where mass is spread over the classes, the residue that ``standard`` allows is in them already.
    """
    if mass.spread is None:
        own = gradient[np.arange(len(gradient)), mass.column]
        other: Made = {grade: partial(budget.off_target, grade, gradient) for grade in _GRADIENT_GRADES}
        return other, {grade: partial(budget.at_target, grade, own) for grade in _GRADIENT_GRADES}
    whole = {grade: budget.with_spread(grade, gradient) for grade in _GRADIENT_GRADES}
    if residue is not None:
        whole["standard"] = residue.everywhere(whole["standard"])
    every: Made = {grade: partial(whole.__getitem__, grade) for grade in _GRADIENT_GRADES}
    if mass.column is None:
        return every, {}
    at = (np.arange(len(gradient)), mass.column)
    return every, {grade: partial(whole[grade].__getitem__, at) for grade in _GRADIENT_GRADES}


def _given(budgets: Mapping[str, Array], where: Array | slice, exact: Array | None) -> Made:
    return {g: partial(np.atleast_1d, b.reshape(-1)[where] if exact is None else exact) for g, b in budgets.items()}


def _locate(problem: Problem, where: Array, at: int) -> tuple[int, ...]:
    row, column = divmod(at, problem.classes)
    return full_index(problem.shape, int(where[row]), column)


def _locate_own(problem: Problem, where: Array, column: Array, at: int) -> tuple[int, ...]:
    return full_index(problem.shape, int(where[at]), int(column[at]))


def _locate_row(shape: tuple[int, ...], where: Array, at: int) -> tuple[int, ...]:
    return row_index(shape, int(where[at]))
