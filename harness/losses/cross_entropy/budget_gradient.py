"""The largest error allowed of every entry of a gradient, under the grades tight and standard (relative keeps tight).

With R_i the relative error of p_i (see budget_softmax) and G the scale of the row, an entry is allowed

    G [p_i R_i (1 + 2u) + u (p_i + |g_i|)]                              in a plain row
    G [Q p_i R_i + (h_Q + 3) u (Q p_i + |q_i|) + u |g_i|]               with weights, smoothing or probabilities

where h_Q is the depth of the sum over classes if mass is spread over them, else 0; and both get what an inexact G
costs, smallest_normal(float32) max(1, |G|) (exp2 may flush to zero) and one final rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from harness.losses.cross_entropy.budget_loss import class_budget
from harness.losses.cross_entropy.budget_softmax import softmax_error
from harness.losses.cross_entropy.grades import (
    FLUSH,
    Kind,
    RowErrors,
    Rules,
    plain_float,
)
from harness.losses.cross_entropy.oracle import Softmax
from harness.losses.cross_entropy.problem import Mass, Problem, times
from harness.numerics.formats import Array, ulp


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientBudget:
    """Makes the budgets of the gradients of k sound, counted rows; ``scale`` (k,) is G."""

    rows: Softmax
    errors: RowErrors
    mass: Mass
    problem: Problem
    rules: Rules
    scale: Array

    def off_target(self, grade: str, gradient: Array) -> Array:
        """Budgets (k, C) of ``gradient`` = G Q p, right at every column but the target's; no spread mass."""
        u = self.rules.u
        factor, offset = (1.0 + 2.0 * u, 2.0 * u) if self._at_once(grade) else (1.0 + 2.0 * u, 4.0 * u)
        offset += self._upstream(grade)
        kinds, reach = self._kinds(grade), plain_float(self.rows.reach)
        budget = softmax_error(self.errors, kinds, u, reach, factor=factor, offset=offset)
        size = np.abs(plain_float(gradient))
        budget *= size
        return self._finish(budget, size)

    def at_target(self, grade: str, gradient: Array) -> Array:
        """Budgets (k,) of the target column of index targets without spread mass."""
        u, at = self.rules.u, (np.arange(len(self.scale)), self.mass.column)
        reach = plain_float(self.rows.reach[at])[:, None]
        error = softmax_error(self.errors, self._kinds(grade), u, reach)[:, 0]
        size, g = np.abs(plain_float(self.scale)), np.abs(plain_float(gradient))
        q = np.abs(plain_float(self.mass.total))
        share = size * q * plain_float(self.rows.e[at] / self.rows.s)
        if self._at_once(grade):
            budget = share * (error * (1.0 + 2.0 * u) + u)
        else:
            budget = share * (error * (1.0 + 2.0 * u) + 3.0 * u) + 3.0 * u * size * q
        budget += (u + self._upstream(grade)) * g
        return self._finish(budget[:, None], g[:, None])[:, 0]

    def with_spread(self, grade: str, gradient: Array) -> Array:
        """Budgets (k, C) of ``gradient`` where mass is spread over the classes; all columns."""
        u = self.rules.u
        share = plain_float(self.rows.e * (np.abs(self.scale * self.mass.total) / self.rows.s)[:, None])
        own = np.abs(plain_float(self.scale))[:, None] * np.abs(plain_float(self.mass.spread))
        if self.mass.column is not None:
            own[np.arange(len(own)), self.mass.column] += np.abs(plain_float(self.scale * self.mass.point))
        size = np.abs(plain_float(gradient))
        kinds = self._kinds(grade)
        products = (kinds[-1].mass_depth + 3.0) * u
        budget = softmax_error(self.errors, kinds, u, plain_float(self.rows.reach))
        budget *= share
        budget += products * (share + own) + (u + self._upstream(grade)) * size
        return self._finish(budget, size)

    def of_target(self, grade: str, gradient: Array, distance: Array, factor: Array) -> Array:
        """Budgets (k, C) of the gradient of probability targets, G w (1 - ε) (lse - x), before the final rounding.

        ``factor`` (k, C) is |G w (1 - ε)|; with |G m| in its place these are the terms of the gradient of weight.
        """
        u = self.rules.u
        with np.errstate(invalid="ignore", over="ignore"):
            budget = class_budget(self.errors, distance, self._kinds(grade)[-1], u)
            for kind in self._kinds(grade)[:-1]:
                np.maximum(budget, class_budget(self.errors, distance, kind, u), out=budget)
            size = np.abs(plain_float(gradient))
            return times(factor, budget) + (4.0 * u + self._upstream(grade)) * size

    def _at_once(self, grade: str) -> bool:
        """Whether p - 1 must have been formed by one subtraction."""
        return self.problem.plain and grade != "standard"

    def _kinds(self, grade: str) -> tuple[Kind, ...]:
        return self.rules.standard if grade == "standard" else (self.rules.tight,)

    def _upstream(self, grade: str) -> float:
        """Relative error of G beyond a float32 product: the summed weights, and 1/N rounded to a half dtype."""
        error = (self.rules.batch_depth + 1.0) * self.rules.u if self.problem.sums_weights else 0.0
        if grade == "standard" and self.rules.rounds and self.problem.reduction == "mean":
            error += self.rules.out.u
        return error

    def _finish(self, budget: Array, size: Array) -> Array:
        return finished(budget, size, np.abs(plain_float(self.scale))[:, None], self.rules)


def finished(budget: Array, size: Array, scale: Array, rules: Rules) -> Array:
    """``budget`` of entries of absolute value ``size`` with flush and final rounding, in place; ``scale`` is |G|."""
    budget += FLUSH * np.maximum(1.0, scale)
    budget += ulp(size + budget, rules.out, ulps=rules.rounding_ulps, at_least=FLUSH)
    return budget
