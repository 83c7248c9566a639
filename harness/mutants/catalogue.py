"""The mutants and controls by name, read from the decorators in their files without importing them (torch-free)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from harness.core.errors import HarnessError

#: Module → what its group of documented bugs is about, in the order of ``docs/bug_coverage.md``; the last is of none.
GROUPS: Mapping[str, str] = MappingProxyType(
    {
        "reduction": "reduction and normalisation: the wrong denominator",
        "ignored": "ignored, invalid and empty targets",
        "backward": "backward and upstream gradient",
        "layout": "layout, strides and the class dimension",
        "tiles": "tiles, tails and vocabulary size",
        "offsets": "32-bit offsets",
        "numerics": "numerics and dtype",
        "fused": "options in fused losses: cap, scale, bias, smoothing, shards",
        "untested": "what tests that could not fail let through",
        "cheats": "wrong kernels that pass a checker",
        "conditions": "timing and running conditions",
        "linear": "the last layer fused with its loss",
        "others": "the other losses: denominators, dimensions, clamps and weights",
        "others_backward": "the other losses: gradients",
        "others_related": "the other losses: what holds between two answers",
        "crossings": "options that meet sizes, dimensions, regimes and other calls",
        "paths": "paths of their own for many rows, strides and options taken together",
        "company": "what calls a loss or follows it: compilers, transforms, other steps and modes",
    }
)
CONTROL_MODULES = (
    "controls_sums", "controls_shapes", "controls_autograd", "controls_linear", "controls_others", "controls_labels",
)  # fmt: skip
_FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One wrong implementation: its mechanism, the checks that must each catch it, and where it was seen.

    ``plain_wrong`` says why it is worth having although ordinary inputs show it; empty for one they do not show.
    ``grade`` is the accuracy grade it is judged by: the loosest that does not allow what it does.
    """

    name: str
    group: str
    mechanism: str
    caught_by: tuple[str, ...]
    source: str = ""
    plain_wrong: str = ""
    grade: str = "standard"
    loss: str = "cross_entropy"

    @property
    def reference(self) -> str:
        """``module:callable``, as ``check`` takes it."""
        return f"harness.mutants.{self.group}:{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One right but unusual implementation."""

    name: str
    module: str
    summary: str
    loss: str = "cross_entropy"

    @property
    def reference(self) -> str:
        """``module:callable``, as ``check`` takes it."""
        return f"harness.mutants.{self.module}:{self.name}"


@lru_cache(maxsize=1)
def mutants() -> tuple[Mutant, ...]:
    """Every mutant, group by group."""
    return tuple(_mutant(name, group, values) for group in GROUPS for name, values in _decorated(group, "mutant"))


@lru_cache(maxsize=1)
def controls() -> tuple[Control, ...]:
    """Every control."""
    return tuple(
        Control(name=name, module=module, summary=values["mechanism"], loss=values.get("loss", "cross_entropy"))
        for module in CONTROL_MODULES
        for name, values in _decorated(module, "control")
    )


def _mutant(name: str, group: str, values: Mapping[str, Any]) -> Mutant:
    caught_by = values["caught_by"]
    return Mutant(
        name=name, group=group, mechanism=values["mechanism"], source=values.get("source", ""),
        plain_wrong=values.get("plain_wrong", ""), grade=values.get("grade", "standard"),
        loss=values.get("loss", "cross_entropy"),
        caught_by=(caught_by,) if isinstance(caught_by, str) else caught_by,
    )  # fmt: skip


def _decorated(module: str, decorator: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(function name, arguments) of each function under ``decorator``; the first argument is ``mechanism``."""
    path = _FOLDER / f"{module}.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        for call in getattr(node, "decorator_list", ()):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == decorator:
                assert isinstance(node, ast.FunctionDef | ast.ClassDef)
                yield node.name, _arguments(call, path)


def _arguments(call: ast.Call, path: Path) -> dict[str, Any]:
    try:
        values = {word.arg or "": ast.literal_eval(word.value) for word in call.keywords}
        return {**values, "mechanism": ast.literal_eval(call.args[0])}
    except ValueError:
        raise HarnessError(f"{path}:{call.lineno}: the arguments of this decorator must be literals") from None
