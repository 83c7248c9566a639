"""Bytes as people write them: ``8GiB``, ``512 MB``, or a plain number."""

from __future__ import annotations

import re

_UNITS = {
    "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40,
}  # fmt: skip
_SIZE = re.compile(r"\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?i?b)?\s*", re.IGNORECASE)


def parse_bytes(text: str | int) -> int:
    """Bytes of ``8GiB``, ``1.5 GB``, ``4096`` or 4096.

    Raises:
        ValueError: the text is no size, or the number is not positive.
    """
    match = _SIZE.fullmatch(str(text))
    unit = _UNITS.get((match[2] or "B").upper()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{text!r} is no size; write 8GiB, 500MB or a number of bytes")
    size = int(float(match[1]) * unit)
    if size <= 0:
        raise ValueError(f"{text!r} is no positive size")
    return size


def format_bytes(size: float) -> str:
    """``size`` bytes in three figures: ``1.50 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(size) < 1024:
            return f"{size:.0f} B" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
