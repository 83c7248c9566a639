"""What the harness relies on: clocks, torch, numpy, builtins and itself, as they were before any plugin."""

from __future__ import annotations

import builtins
import gc
import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import FunctionType, MappingProxyType
from typing import Any

import numpy as np
import torch

_HERE = "harness."
_NAMED: Mapping[str, Any] = MappingProxyType(
    {
        "time": time, "builtins": builtins, "math": math, "gc": gc, "threading": threading, "numpy": np, "torch": torch,
        "torch.Tensor": torch.Tensor, "torch.autograd": torch.autograd, "torch.nn.functional": torch.nn.functional,
        "torch.cuda": torch.cuda, "torch.cuda.Event": torch.cuda.Event, "torch.testing": torch.testing,
        "numpy.testing": np.testing, "numpy.random": np.random,
    }
)  # fmt: skip
#: Packages may replace names of their own (torch does when its compiler is loaded); nobody else may.
_OWN = (str(Path(torch.__file__).parent), str(Path(np.__file__).parent))


@lru_cache(maxsize=1)
def originals() -> Mapping[str, Mapping[str, tuple[Any, Any]]]:
    """Callables by place and name, each with its code, as they are when this is first called."""
    return MappingProxyType({place: dict(_callables(namespace)) for place, namespace in _places()})


def replaced() -> list[str]:
    """Names that no longer stand for what they did, as ``time.perf_counter``; a package may replace its own."""
    found = []
    now = dict(_places())
    for place, before in originals().items():
        values = _values(now[place]) if place in now else {}
        for name, (value, code) in before.items():
            current = values.get(name)
            changed = current is not value or getattr(current, "__code__", None) is not code
            if changed and not _by_its_owner(place, current):
                found.append(f"{place}.{name}")
    return found


def _places() -> Iterator[tuple[str, Any]]:
    yield from _NAMED.items()
    for name, module in list(sys.modules.items()):
        if not name.startswith(_HERE) or module is None:
            continue
        yield name, module
        for key, value in list(vars(module).items()):
            if isinstance(value, type) and value.__module__ == name:
                yield f"{name}.{key}", value


def _callables(namespace: Any) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for name, value in _values(namespace).items():
        # doctests, pdb and the like set builtins._ and other underscored names as they run
        if callable(value) and not (namespace is builtins and name.startswith("_") and not name.startswith("__")):
            yield name, (value, getattr(value, "__code__", None))


def _values(namespace: Any) -> dict[str, Any]:
    """What stands under each name: of a class also what it inherits, which a name set on it would hide."""
    if not isinstance(namespace, type):
        return dict(vars(namespace))
    return {name: value for base in reversed(namespace.__mro__) for name, value in vars(base).items()}


def _by_its_owner(place: str, current: Any) -> bool:
    """Whether what stands there now is torch's or numpy's own code, judged by the file it was compiled from."""
    if place.startswith(_HERE) or place in ("time", "builtins", "math", "gc", "threading"):
        return False
    function = getattr(current, "__wrapped__", current)
    code = getattr(current, "__code__", None) or getattr(function, "__code__", None)
    if isinstance(current, FunctionType) or code is not None:
        return code is not None and str(code.co_filename).startswith(_OWN)
    return str(getattr(current, "__module__", "")).split(".")[0] in ("torch", "numpy")
