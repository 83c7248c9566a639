"""One message for all that is wrong in a suite file: file, line and key, what was found, what is allowed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from harness.core.errors import SuiteError

#: Beyond this many, more lines do not help.
_SHOWN = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong: 1-based line, key path such as ``cases[0].dtype[1]``, what stood there, what may."""

    line: int
    key: str
    found: str
    allowed: str


def suite_error(source: object, problems: Sequence[Problem]) -> SuiteError:
    """The error that tells of all ``problems`` of file ``source``, in the order of their lines."""
    ordered = sorted(problems, key=lambda problem: problem.line)
    blocks = [
        f"{source}:{problem.line}: {problem.key}\n  found:   {problem.found}\n  allowed: {problem.allowed}"
        for problem in ordered[:_SHOWN]
    ]
    if len(ordered) > _SHOWN:
        blocks.append(f"… and {len(ordered) - _SHOWN} more")
    return SuiteError("\n".join(blocks))


def closest(text: str, names: Iterable[str]) -> str:
    """``" (did you mean 'dtype'?)"`` when one of ``names`` resembles ``text``, else an empty string."""
    matches = get_close_matches(text, list(names), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""


def key_path(path: Sequence[str | int]) -> str:
    """``cases[0].dtype[1]`` of ``("cases", 0, "dtype", 1)``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".") or "(top of the file)"


def found_text(value: object, *, limit: int = 60) -> str:
    """``value`` as it stood in the file, with its kind, cut to ``limit`` characters."""
    kinds: tuple[tuple[type, str], ...] = (
        (bool, "true or false"),
        (int, "a whole number"),
        (float, "a number"),
        (str, "text"),
        (list, "a list"),
        (dict, "a mapping"),
    )
    if value is None:
        return "nothing (null)"
    if value == []:
        return "an empty list"
    kind = next((name for type_, name in kinds if isinstance(value, type_)), type(value).__name__)
    text = _literal(value)
    return f"{text[:limit]}{'…' if len(text) > limit else ''} ({kind})"


def _literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 1000:
        return "a number of more than 300 digits"
    return repr(value)
