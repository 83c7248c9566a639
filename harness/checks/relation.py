"""One metamorphic relation: a call derived from another, and what its losses must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.core.case import Case
from harness.inputs.build import Inputs
from harness.numerics.formats import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """``left`` · (losses of the derived call) = ``right`` · (losses of the first call) + ``plus``.

    ``left`` and ``right`` are matrices over the flat losses (None: the identity; 0: nothing). ``sign`` 0 asks for
    equality, 1 for at most, -1 for at least. ``compare`` False holds the derived call to the oracle alone.
    ``read`` makes of (losses of the derived call, what each may be off) those that the relation speaks of: of
    log-probabilities probabilities.
    """

    name: str
    summary: str
    case: Case
    inputs: Inputs
    right: Any = None
    left: Any = None
    plus: Any = 0.0
    sign: int = 0
    compare: bool = True
    read: Callable[[Array, Array], tuple[Array, Array]] | None = None

    def sides(self, found: int, base: int) -> tuple[Array, Array]:
        """Both matrices, for that many losses of the derived and of the first call."""
        left = np.eye(found) if self.left is None else np.asarray(self.left, dtype=float)
        if self.right is None:
            return left, np.eye(base)
        right = np.asarray(self.right, dtype=float)
        return left, right if right.ndim else np.zeros((len(left), base))
