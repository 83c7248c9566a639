"""Cells that checks bring themselves: (anchor case, thorough) → cases. Torch-free; one file for each such check.

An anchor tells loss, device and dtype; its sizes and options are of no account.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from harness.checks.cases import grad_output, ignored, layout, options
from harness.core.case import Case

OWN_CASES: Mapping[str, Callable[[Case, bool], Iterable[Case]]] = MappingProxyType(
    {
        "grad_output": grad_output.cases,
        "options": options.cases,
        "ignored": ignored.cases,
        "layout": layout.cases,
    }
)
