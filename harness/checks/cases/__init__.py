"""Cells that checks bring themselves: (anchor case, thorough) → cases. Torch-free; one file for each such check.

An anchor tells loss, device and dtype; its sizes and options are of no account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from harness.checks.cases import (
    composition,
    grad_output,
    honesty,
    ignored,
    large_index,
    layout,
    options,
    precision,
    relations,
    repeatability,
    side_effects,
    sizes,
    targets,
)
from harness.core.case import Case

OWN_CASES: Mapping[str, Callable[[Case, bool], Iterable[Case]]] = MappingProxyType(
    {
        "grad_output": grad_output.cases,
        "options": options.cases,
        "ignored": ignored.cases,
        "layout": layout.cases,
        "sizes": sizes.cases,
        "relations": relations.cases,
        "precision": precision.cases,
        "targets": targets.cases,
        "large_index": large_index.cases,
        "side_effects": side_effects.cases,
        "repeatability": repeatability.cases,
        "honesty": honesty.cases,
        "composition": composition.cases,
    }
)
