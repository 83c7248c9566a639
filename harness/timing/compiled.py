"""torch.compile under measurement: a fresh compiler for each set of shapes, and no silent fall-back to eager."""

from __future__ import annotations

import sys
from dataclasses import replace

from harness.core.case import PASSES, Case


def compile_key(case: Case) -> str:
    """What a compiled graph depends on: cells of one key differ only in regime, seed, target draw and pass."""
    return replace(case, regime="", seed=0, pass_=PASSES[-1], target=case.target_kind, ignored=float(case.ignored > 0)).cell


def fresh_compile() -> None:
    """Forget every compiled graph, where torch's compiler is loaded at all.

    The recompile limit is made an error: beyond it torch silently runs eager code under the compiled name.
    """
    if "torch._dynamo" not in sys.modules:
        return
    import torch

    torch.compiler.reset()
    config = torch._dynamo.config
    for name in ("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit"):
        if hasattr(config, name):
            setattr(config, name, True)
