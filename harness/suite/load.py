"""Find and read suite files: a path, or the name of a bundled suite."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

from harness.core.errors import SuiteError
from harness.core.family import Family
from harness.suite.model import Suite
from harness.suite.problems import closest
from harness.suite.yaml_text import read_document, top_value

_SUFFIXES = (".yaml", ".yml")


def load_suite(source: Path | str, families: Mapping[str, Family]) -> Suite:
    """Read and validate the suite that ``source`` names (a path, or a bundled name such as ``smoke``).

    Raises:
        SuiteError: no such suite, or the file is wrong: each problem with file, line, key, found and allowed.
    """
    # pydantic takes 0.2 s to import: `--help` and `list` must not pay for it
    from harness.suite.schema import suite_of

    document = read_document(find_suite(source))
    if "claims" in document.values:
        raise SuiteError(
            f"{document.source}:{document.line(('claims',))}: claims\n"
            "  found:   a file of claims, which has no cells to run\n"
            f"  allowed: python -m harness claims {source}"
        )
    return suite_of(document, families)


def load_cells(source: Path | str, families: Mapping[str, Family]) -> Suite:
    """As :func:`load_suite`, for a command that judges or times cells: a suite that only trains has none.

    Raises:
        SuiteError: as there, or the suite has no cells.
    """
    suite = load_suite(source, families)
    if not suite.entries:
        raise SuiteError(
            f"{suite.source}: cases\n  found:   none, this suite only trains\n"
            f"  allowed: python -m harness run {source} --implementation REF"
        )
    return suite


def find_suite(text: Path | str, folder: Path | None = None) -> Path:
    """The file of the suite ``text``: itself when it is a path, else ``NAME.yaml`` in the suites ``folder``.

    Raises:
        SuiteError: neither a file nor a bundled name.
    """
    path = Path(text)
    if path.is_file():
        return path
    folder = folder or suites_folder()
    bundled = {file.stem: file for file in _files(folder)}
    if str(text) in bundled:
        return bundled[str(text)]
    looks_like_path = path.suffix in _SUFFIXES or len(path.parts) > 1
    found = "a folder" if path.is_dir() else "no such file" if looks_like_path else "no suite of that name"
    raise SuiteError(
        f"suite {str(text)!r}\n"
        f"  found:   {found}{closest(path.stem, bundled)}\n"
        f"  allowed: the path of a YAML file, or one of {', '.join(bundled)}"
    )


def suite_names(folder: Path | None = None) -> Mapping[str, str]:
    """Name → description of the bundled suites; reads only the head of each file (no pydantic, no torch)."""
    files = _files(folder or suites_folder())
    heads = {file.stem: top_value(file.read_text(encoding="utf-8", errors="replace"), "description") for file in files}
    return {name: " ".join((description or "").split()) for name, description in heads.items()}


def suites_folder(package: Path | None = None, working: Path | None = None) -> Path:
    """Where bundled suites are: the working directory's when it is this project, else beside or inside the package."""
    package = package or Path(__file__).resolve().parents[1]
    for root in (working or Path.cwd(), package.parent):
        if _is_project(root):
            return root / "suites"
    return package / "bundled" / "suites"


def _is_project(root: Path) -> bool:
    try:
        settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return settings.get("project", {}).get("name") == "loss-harness" and (root / "suites").is_dir()


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.yaml") if file.is_file())
