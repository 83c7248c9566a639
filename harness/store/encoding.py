"""Values to standard JSON and back, with a rule for the numbers that JSON lacks and a bound on text.

The rule: a float that is NaN or infinite is written as the string ``"nan"``, ``"inf"`` or ``"-inf"``, wherever it
stands. Within ``metrics`` those three exact strings are read back as floats; elsewhere they stay text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, cast

#: Longest text kept in one value; a plugin may raise an exception whose message is a gigabyte.
MAX_TEXT = 16_384
_LARGEST_INT = 2**63 - 1
_DEPTH = 64
#: A whole number that may lie beyond 64 bits, once every digit is written as 0.
_LONG, _DIGITS = b"0" * 19, bytes.maketrans(b"123456789", b"000000000")
_WORDS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


def dump_line(values: Mapping[str, Any]) -> bytes:
    """One line of standard JSON in UTF-8, with its newline.

    Raises:
        TypeError: a value is neither text, number, boolean, None, mapping nor sequence.
    """
    return _dump(_encode(values, MAX_TEXT), indent=None) + b"\n"


def dump_document(values: Mapping[str, Any]) -> bytes:
    """An indented JSON document in UTF-8, for people to read.

    Raises:
        TypeError: as in :func:`dump_line`.
    """
    return _dump(_encode(values, None), indent=1) + b"\n"


def load_object(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``.

    Raises:
        ValueError: not UTF-8, not JSON, nested too deep, no object, or a whole number beyond 64 bits.
    """
    try:
        # one of these two is made once, and numbers that long are rare: a third of the time of reading
        decoder = _STRICT if _LONG in raw.translate(_DIGITS) else _PLAIN
        value = decoder.decode(raw.decode("utf-8"))
        # what makes text or depth dangerous is rare, so most lines are spared the walk (half of the time of reading)
        if b"\\ud" in raw.lower() or raw.count(b"[") + raw.count(b"{") > _DEPTH:
            value = _clean(value, 0)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deep") from None
    except json.JSONDecodeError:
        raise ValueError("not JSON") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return cast(dict[str, Any], value)


def decode_numbers(value: Any) -> Any:
    """``value`` with the strings nan, inf and -inf read back as floats, at any depth."""
    if isinstance(value, str):
        return _WORDS.get(value, value)
    if isinstance(value, dict):
        return {key: decode_numbers(item) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [decode_numbers(item) for item in cast(list[Any], value)]
    return value


def shorten(text: str, limit: int = MAX_TEXT) -> str:
    """``text``, its middle left out where it is longer than ``limit`` (the end of a traceback says most)."""
    if len(text) <= limit:
        return text
    head, tail = limit // 3, limit - limit // 3
    return f"{text[:head]}\n… {len(text) - limit} characters left out …\n{text[-tail:]}"


def _dump(values: Any, indent: int | None) -> bytes:
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(values, indent=indent, separators=separators, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace")  # a lone surrogate becomes the JSON escape \udxxx


def _encode(value: Any, limit: int | None) -> Any:
    if isinstance(value, str):
        return str(value) if limit is None else shorten(value, limit)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int) and abs(value) <= _LARGEST_INT:
        return int(value)
    if isinstance(value, float):
        return (
            float(value) if math.isfinite(value) else ("nan" if math.isnan(value) else "-inf" if value < 0 else "inf")
        )
    if isinstance(value, Mapping):
        return {str(key): _encode(item, limit) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_encode(item, limit) for item in cast(list[Any], value)]
    found = "a whole number beyond 64 bits" if isinstance(value, int) else type(value).__name__
    raise TypeError(f"a results folder keeps text, numbers, booleans, None, mappings and lists, not {found}")


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(number := int(digits)) > _LARGEST_INT:
        raise ValueError("a whole number beyond 64 bits")
    return number


_PLAIN, _STRICT = json.JSONDecoder(), json.JSONDecoder(parse_int=_whole)


def _clean(value: Any, depth: int) -> Any:
    if depth > _DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_clean(key, depth): _clean(item, depth + 1) for key, item in cast(dict[str, Any], value).items()}
    if isinstance(value, list):
        return [_clean(item, depth + 1) for item in cast(list[Any], value)]
    return value
