"""torch.compile under measurement: a fresh compiler for each set of shapes, and no silent fall-back to eager."""

from __future__ import annotations

import sys
from typing import Any


def fresh_compile() -> None:
    """Forget every compiled graph, where torch's compiler is loaded at all, and start counting anew.

    The recompile limit is made an error: beyond it torch silently runs eager code under the compiled name.
    """
    if "torch._dynamo" not in sys.modules:
        return
    import torch

    torch.compiler.reset()
    _dynamo().utils.counters.clear()
    refuse_eager()


def refuse_eager() -> None:
    """Make the recompile limit an error where torch's compiler is loaded (a first call may load it)."""
    if "torch._dynamo" not in sys.modules:
        return
    config = _dynamo().config
    for name in ("fail_on_recompile_limit_hit", "fail_on_cache_limit_hit"):
        if hasattr(config, name):
            setattr(config, name, True)


def compiled_graphs() -> int:
    """Graphs compiled since :func:`fresh_compile`; 0 where torch's compiler is not loaded."""
    if "torch._dynamo" not in sys.modules:
        return 0
    return int(_dynamo().utils.counters["stats"]["unique_graphs"])


def recompile_limit() -> int:
    """Graphs of one function after which torch gives up compiling it."""
    config = _dynamo().config if "torch._dynamo" in sys.modules else None
    return int(getattr(config, "recompile_limit", getattr(config, "cache_size_limit", 8)))


def is_recompile_limit(error: BaseException) -> bool:
    """Whether ``error`` says that the recompile limit was met."""
    text = f"{type(error).__name__}: {error}".lower()
    return "recompilelimit" in text or "recompile_limit" in text or "cache_size_limit" in text


def _dynamo() -> Any:
    return sys.modules["torch._dynamo"]
