"""The checks by name: what each looks at, and which cells it is asked on. Torch-free, for plans and listings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from harness.checks.cases import OWN_CASES
from harness.core.case import Case
from harness.losses.catalogue import family_of
from harness.suite.model import CELL_CHECKS, CHECKS

#: What a cell must pass before its speed is shown.
ADMISSION = CELL_CHECKS

#: Checks whose calls may leave a process damaged (memory written out of bounds, a lost CUDA context).
DISRUPTIVE = frozenset({"targets"})

#: A question to an implementation: a case and the checks that are asked on it.
Questions = Mapping[Case, tuple[str, ...]]


def questions(cases: Sequence[Case], checks: Iterable[str], *, thorough: bool = False) -> Questions:
    """What is asked: each case of a suite with the cell checks, then the cells that other checks bring themselves."""
    wanted = set(checks)
    asked: dict[Case, tuple[str, ...]] = {}
    for case in cases:
        asked[case] = tuple(c for c in CELL_CHECKS if c in wanted and (c != "gradient" or case.needs_gradient))
    for anchor in _anchors(cases):
        for name in CHECKS:
            for case in own_cases(name, anchor, thorough) if name in wanted else ():
                asked[case] = (*asked.get(case, ()), name)
    return MappingProxyType({case: names for case, names in asked.items() if names})


def own_cases(check: str, anchor: Case, thorough: bool) -> Iterable[Case]:
    """The cells that ``check`` brings itself for the loss, device and dtype of ``anchor``."""
    family = family_of(anchor.loss)
    if check not in family.checks or check not in OWN_CASES:
        return ()
    return OWN_CASES[check](anchor, thorough) if family.cells is None else family.cells(check, anchor, thorough)


def _anchors(cases: Sequence[Case]) -> list[Case]:
    """The first case of each loss, device and dtype: own cells are made for every such three."""
    found: dict[tuple[str, str, str], Case] = {}
    for case in cases:
        found.setdefault((case.loss, case.device, case.dtype), case)
    return list(found.values())
