"""Where implementations come from: folders, entry points and references; found without importing any of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from harness.core.errors import UnknownReferenceError

PACKAGE = Path(__file__).resolve().parents[1]
ENTRY_POINT_GROUP = "harness.implementations"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One thing to import: a file or a module, and the callable asked of it ('' = all that it registers)."""

    kind: str
    target: str
    callable: str = ""
    origin: str = "reference"
    text: str = ""

    @property
    def reference(self) -> str:
        """``path.py[:callable]`` or ``module[:callable]``."""
        return self.target + (f":{self.callable}" if self.callable else "")


def project_root() -> Path | None:
    """The checkout that this package runs from, or None when it is installed."""
    root = PACKAGE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "implementations").is_dir() else None


def is_this_project(folder: Path) -> bool:
    """Whether ``folder`` is a checkout of this very project."""
    manifest = folder / "pyproject.toml"
    if not manifest.is_file():
        return False
    return 'name = "loss-harness"' in manifest.read_text(encoding="utf-8", errors="replace")


def implementation_folders(cwd: Path) -> tuple[tuple[Path, str], ...]:
    """Folders of implementations with their origin: the bundled one (or this project's), then the working directory's.

    The bundled copy gives way to the folder when the working directory is a checkout of this project.
    """
    own = cwd / "implementations"
    if is_this_project(cwd) and own.is_dir():
        return ((own, "folder"),)
    root = project_root()
    bundled = root / "implementations" if root else PACKAGE / "bundled" / "implementations"
    folders = [(bundled, "bundled")] if bundled.is_dir() else []
    if own.is_dir() and own.resolve() != bundled.resolve():
        folders.append((own, "folder"))
    return tuple(folders)


def discover(cwd: Path) -> tuple[Source, ...]:
    """Every source of registered names: folders first, then the entry points of installed packages."""
    found: list[Source] = []
    for folder, origin in implementation_folders(cwd):
        for path in sorted(folder.iterdir()):
            if path.name.startswith(("_", ".")):
                continue
            if path.suffix == ".py" or (path / "__init__.py").is_file():
                found.append(Source(kind="file", target=str(path), origin=origin, text=path.name))
    for point in sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=lambda p: p.name):
        module, _, attribute = point.value.partition(":")
        found.append(Source(kind="module", target=module, callable=attribute, origin="entry point", text=point.name))
    return tuple(found)


def is_reference(text: str) -> bool:
    """Whether ``text`` names a file or module rather than a registered name or glob."""
    return ":" in text or text.endswith(".py") or "/" in text


def parse_reference(text: str, base: Path) -> Source:
    """The source of ``path.py``, ``path.py:callable`` or ``module:callable``; paths are relative to ``base``.

    Raises:
        UnknownReferenceError: the file does not exist, or the text has none of these forms.
    """
    head, _, attribute = text.rpartition(":") if ":" in text else (text, "", "")
    if head.endswith(".py") or "/" in head:
        path = Path(head) if Path(head).is_absolute() else base / head
        if path.is_dir() and (path / "__init__.py").is_file():
            return Source(kind="file", target=str(path), callable=attribute, text=text)
        if not path.is_file():
            raise UnknownReferenceError(
                f"no such file: {head} (asked for {text!r}, looked in {base})\n"
                "  allowed: a registered name or glob, path.py:callable, path.py, or module:callable"
            )
        return Source(kind="file", target=str(path), callable=attribute, text=text)
    if not head or not attribute:
        raise UnknownReferenceError(
            f"cannot read the reference {text!r}; allowed: a registered name or glob, path.py:callable, path.py, or "
            "module:callable"
        )
    return Source(kind="module", target=head, callable=attribute, text=text)


def content_digest(path: Path) -> str:
    """Digest of a plugin's source text: of the file, or of every Python file in a package."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()
