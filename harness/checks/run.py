"""Run the checks that were asked for, in their order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from harness.checks.agreement import agreement
from harness.checks.composition import composition
from harness.checks.evidence import Evidence
from harness.checks.grad_output import grad_output
from harness.checks.gradient import gradient
from harness.checks.honesty import honesty
from harness.checks.ignored import ignored
from harness.checks.large_index import large_index
from harness.checks.layout import layout
from harness.checks.options import options
from harness.checks.precision import precision
from harness.checks.relations import relations
from harness.checks.repeatability import repeatability
from harness.checks.side_effects import side_effects
from harness.checks.sizes import sizes
from harness.checks.stability import stability
from harness.checks.targets import targets
from harness.core.outcome import Verdict
from harness.suite.model import CHECKS

FUNCTIONS: Mapping[str, Callable[[Evidence], Iterator[Verdict]]] = MappingProxyType(
    {
        "agreement": agreement,
        "gradient": gradient,
        "stability": stability,
        "grad_output": grad_output,
        "options": options,
        "ignored": ignored,
        "layout": layout,
        "sizes": sizes,
        "relations": relations,
        "precision": precision,
        "targets": targets,
        "large_index": large_index,
        "side_effects": side_effects,
        "repeatability": repeatability,
        "honesty": honesty,
        "composition": composition,
    }
)


def verdicts(evidence: Evidence, checks: Sequence[str]) -> Iterator[Verdict]:
    """The verdicts of ``checks`` on one answer, in the catalogue's order."""
    for name in CHECKS:
        if name in checks:
            yield from FUNCTIONS[name](evidence)
