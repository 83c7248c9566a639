"""Where autograd may leave the rounding residue of a row's gradient, and what the grade ``standard`` allows there.

The gradient of a row sums to 0. An implementation that subtracts the row's largest logit, or the target's, inside
autograd gets the gradient of that one logit as minus the sum of the others, so the errors of all of them stand in that
column: log Σ exp(x - x_t), or x - max(x) without ``detach``. Both are right. What tells them from a wrong entry is that
the row still sums to 0, to the rounding of that sum alone, and that the error is no larger than the others' budgets add
up to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from harness.losses.cross_entropy.grades import plain_float
from harness.numerics.formats import Array

#: Additions that a term passes through in a pairwise sum, beside its ⌈log2 C⌉ levels: vector lanes and the last block.
_LANES = 8

Made = Callable[[], Array]


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """Raises budgets of k rows where a residue may stand and does.

    ``truth`` and ``found`` (k, C) are the gradient; ``column`` (k,) the target's (None with probability targets);
    ``reach`` (k, C) is x - max(x); ``u`` the roundoff of accumulation, which must be the output's too: the rounding to
    a half dtype hides the sum.
    """

    truth: Array
    found: Array
    column: Array | None
    reach: Array
    u: float

    def at_top(self, budgets: Made) -> Made:
        """Budgets (k, C), right at every column but the target's, with the residue at a row's largest logits."""

        def made() -> Array:
            allowed, top = budgets(), np.nonzero(self.reach == 0.0)
            error = self._error(top)
            over = error > allowed[top]
            if over.any():
                residue = self._largest(allowed)[top[0]]
                allowed[top] = np.where(over & (error <= residue), error, allowed[top])
            return allowed

        return made

    def everywhere(self, budgets: Array) -> Array:
        """Budgets (k, C) of all columns, where mass is spread over them, with the residue at one of the two places."""
        allowed = budgets.copy()
        places = [np.nonzero(self.reach == 0.0)]
        places += [] if self.column is None else [(np.arange(len(self.column)), self.column)]
        for at in places:
            error = self._error(at)
            over = error > allowed[at]
            if over.any():
                rest = np.where(self._balanced()[at[0]], budgets.sum(axis=1)[at[0]] - budgets[at], 0.0)
                allowed[at] = np.where(over & (error <= rest), error, allowed[at])
        return allowed

    def at_target(self, own: Made, others: Made) -> Made:
        """Budgets (k,) of the target's column with the residue; ``others`` makes those of the rest."""

        def made() -> Array:
            assert self.column is not None
            allowed, at = own(), (np.arange(len(self.column)), self.column)
            error = self._error(at)
            over = error > allowed
            if over.any():
                allowed = np.where(over & (error <= self._largest(others())), error, allowed)
            return allowed

        return made

    def _error(self, at: tuple[Array, ...]) -> Array:
        return np.abs(plain_float(self.found[at] - self.truth[at]))

    def _balanced(self) -> Array:
        """Whether each row (k,) sums to what it should, but for the rounding of that sum."""
        classes = self.truth.shape[1]
        with np.errstate(invalid="ignore", over="ignore"):
            off = np.abs(plain_float((self.found - self.truth).sum(axis=1)))
            size = np.abs(plain_float(self.truth)).sum(axis=1)
            return off <= (ceil(log2(max(classes, 2))) + _LANES) * self.u * size

    def _largest(self, budgets: Array) -> Array:
        """The largest residue (k,) that one column may hold; 0 where the row does not sum to what it should."""
        with np.errstate(invalid="ignore", over="ignore"):
            others = budgets.sum(axis=1) - budgets[np.arange(len(self.truth)), self.column]
        return np.where(self._balanced(), others, 0.0)
