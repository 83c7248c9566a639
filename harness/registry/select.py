"""Choose implementations by name, glob or reference from those described."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from harness.core.errors import UnknownReferenceError
from harness.core.implementation import Implementation
from harness.registry.sources import content_digest, is_reference


def by_name(described: Iterable[Implementation]) -> dict[str, Implementation]:
    """Implementations by name, in order.

    Raises:
        UnknownReferenceError: two of one name whose files differ; the message names both files.
    """
    found: dict[str, Implementation] = {}
    for implementation in described:
        other = found.get(implementation.name)
        if other is None:
            found[implementation.name] = implementation
        elif _differs(other, implementation):
            raise UnknownReferenceError(
                f"two implementations are called {implementation.name!r}, with different content:\n"
                f"  {other.source or other.reference}\n  {implementation.source or implementation.reference}\n"
                "  rename one of them, or remove the one that is not meant"
            )
    return found


def select(
    patterns: Sequence[str], named: Mapping[str, Implementation], asked: Mapping[str, Sequence[Implementation]]
) -> tuple[Implementation, ...]:
    """The implementations that ``patterns`` name, each once, in the order asked.

    Args:
        patterns: registered names, globs, or references.
        named: registered implementations by name.
        asked: for each reference among the patterns, what it describes.

    Raises:
        UnknownReferenceError: a pattern names nothing.
    """
    chosen: dict[str, Implementation] = {}
    for pattern in patterns:
        if is_reference(pattern):
            matches = list(asked[pattern])
        else:
            matches = [i for name, i in named.items() if fnmatchcase(name, pattern)]
        if not matches:
            raise UnknownReferenceError(_unknown(pattern, named))
        for implementation in matches:
            chosen.setdefault(implementation.name, implementation)
    return tuple(chosen.values())


def distinct_names(
    asked: Mapping[str, Sequence[Implementation]], named: Mapping[str, Implementation]
) -> list[tuple[str, str]]:
    """References whose callable's name is taken by another source: (reference, name) pairs to be shown by reference."""
    owner: dict[str, str] = {name: i.reference for name, i in named.items()}
    clashes: list[tuple[str, str]] = []
    for reference, implementations in asked.items():
        for implementation in implementations:
            if owner.setdefault(implementation.name, implementation.reference) != implementation.reference:
                clashes.append((reference, implementation.name))
    return clashes


def _differs(one: Implementation, other: Implementation) -> bool:
    paths = [Path(i.reference.rpartition(":")[0] or i.reference) for i in (one, other)]
    paths = [p if p.exists() else Path(i.reference) for p, i in zip(paths, (one, other), strict=True)]
    if not all(path.exists() for path in paths):
        return one.reference != other.reference
    return content_digest(paths[0]) != content_digest(paths[1])


def _unknown(pattern: str, named: Mapping[str, Implementation]) -> str:
    close = get_close_matches(pattern, named, n=3)
    hint = f"\n  did you mean {', '.join(close)}?" if close else ""
    return (
        f"no implementation is called {pattern!r}{hint}\n"
        f"  registered: {', '.join(sorted(named)) or 'none'}\n"
        "  also allowed: a glob, path.py:callable, path.py, module:callable"
    )
