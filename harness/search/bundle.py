"""The source text that a candidate needs to be imported where neither it nor the harness is installed (torch-free)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.registry.sources import PACKAGE, parse_reference

#: Stands for the package ``harness`` in a script: the decorator notes who was declared and changes nothing.
STUB = '''"""A stand-in for the harness: ``implementation`` notes what it stands above."""

DECLARED = {}


def implementation(name, **_):
    def note(target):
        DECLARED[name] = target
        return target

    return note
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """``files`` are relative path → text; ``module`` is what to import, ``attribute`` the callable in it ('' = the one
    that is declared under the implementation's name)."""

    files: dict[str, str]
    module: str
    attribute: str


def bundle(reference: str, base: Path) -> Bundle:
    """Everything of ``reference`` that no installed package brings.

    Args:
        reference: ``path.py[:callable]``, a folder, or ``module[:callable]``.
        base: what relative paths are relative to.

    Raises:
        UnknownReferenceError: there is no such file.
    """
    files = {"harness/__init__.py": STUB}
    if ":" not in reference and not reference.endswith(".py") and "/" not in reference:
        return Bundle(files=files, module=reference, attribute="")
    source = parse_reference(reference, base)
    if source.kind == "module":
        _add(source.target, base, files)
        return Bundle(files=files, module=source.target, attribute=source.callable)
    path = Path(source.target)
    if path.is_dir():
        for file in sorted(path.rglob("*.py")):
            _take(file, f"{path.name}/{file.relative_to(path).as_posix()}", "", path.parent, files)
        return Bundle(files=files, module=path.name, attribute=source.callable)
    _take(path, path.name, "", path.parent, files)
    return Bundle(files=files, module=path.stem, attribute=source.callable)


def _take(file: Path, name: str, package: str, neighbours: Path, files: dict[str, str]) -> None:
    """Add ``file`` under ``name``, and what it imports from the harness or from beside it."""
    if name in files:
        return
    files[name] = file.read_text(encoding="utf-8")
    for imported in _imports(files[name], package):
        _add(imported, neighbours, files)


def _add(module: str, neighbours: Path, files: dict[str, str]) -> None:
    """Add a module of the harness or one in the folder ``neighbours``, with its packages; others are installed."""
    parts = module.split(".")
    root = PACKAGE.parent if parts[0] == PACKAGE.name else neighbours
    for depth in range(1, len(parts) + 1):
        path, package = root.joinpath(*parts[:depth]), ".".join(parts[:depth])
        if (path / "__init__.py").is_file():
            name = "/".join((*parts[:depth], "__init__.py"))
            if parts[0] == PACKAGE.name:
                files.setdefault(name, "")  # the harness's own packages only gather names, and draw in all of it
                continue
            _take(path / "__init__.py", name, package, neighbours, files)
        elif path.with_suffix(".py").is_file():
            name = "/".join(parts[:depth]) + ".py"
            _take(path.with_suffix(".py"), name, ".".join(parts[: depth - 1]), neighbours, files)


def _imports(text: str, package: str) -> Iterator[str]:
    """Modules that ``text`` imports by absolute name, and names taken from them, which may be modules too."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            start = ".".join([*above, *([node.module] if node.module else [])])
            if start and (package or not node.level):
                yield start
                yield from (f"{start}.{alias.name}" for alias in node.names)
