"""What a compiled graph depends on."""

from __future__ import annotations

from dataclasses import replace

from harness.core.case import PASSES, Case


def compile_key(case: Case) -> str:
    """What a compiled graph depends on: cells of one key differ only in regime, seed, target draw and pass."""
    return replace(
        case, regime="", seed=0, pass_=PASSES[-1], target=case.target_kind, ignored=float(case.ignored > 0)
    ).cell
