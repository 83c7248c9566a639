"""Whether Triton's interpreter, which runs kernels on the CPU, works with what is installed. Imports no triton."""

from __future__ import annotations

import importlib.util
import warnings
from functools import cache

import numpy as np
from packaging.version import Version

from harness.hardware.host import installed_version

#: The first Triton whose interpreter counts loops with numpy 2.4 and newer, which make no number of an array of one.
_MENDED = Version("3.7")


@cache
def interpreter_reason() -> str | None:
    """Why kernels cannot be interpreted here, with the line to type; None when they can."""
    if importlib.util.find_spec("triton") is None:
        return "needs triton for its interpreter, which is not installed: pip install 'loss-harness[gpu]'"
    found = installed_version("triton")
    # a triton that is no installed distribution, as one built in place, is tried
    if found is None or Version(found) >= _MENDED or _array_of_one_counts():
        return None
    return (
        f"triton {found} cannot interpret kernels with numpy {np.__version__}, which makes no number of an array of "
        "one: pip install 'triton>=3.7', or 'numpy<2.4' where torch asks for this triton"
    )


def _array_of_one_counts() -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return int(np.ones(1, dtype=np.int32)) == 1  # type: ignore[call-overload]
        except TypeError:
            return False
