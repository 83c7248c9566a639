"""A run folder read back: header, outcomes and what had to be passed over."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import RunFolderError
from harness.core.outcome import Outcome
from harness.store.encoding import load_object
from harness.store.files import LATEST, open_regular
from harness.store.lines import Key, read_lines

#: History of the format: 1 (first).
FORMAT_VERSION = 1
HEADER_FILE = "run.json"
CELLS_FILE = "cells.jsonl"
_MAX_HEADER_BYTES = 1 << 26
_MAX_NOTICES = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run as its folder tells it: where, its header (``run.json``), its outcomes, and notices on what is odd."""

    path: Path
    header: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    notices: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """Name of the run; also the name of its folder when it was made."""
        return str(self.header.get("run_id") or self.path.name)


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in the folder ``path`` (``…/latest`` is followed).

    Lines that cannot be read are passed over, each with a notice; a key that comes twice counts once, the first time.

    Raises:
        RunFolderError: no run folder, its header cannot be read, or a newer harness wrote it.
    """
    folder = resolve_run(path)
    header = read_header(folder)
    outcomes, notices = read_outcomes(folder)
    return Run(path=folder, header=header, outcomes=tuple(outcomes.values()), notices=tuple(notices))


def read_outcomes(folder: Path) -> tuple[dict[Key, Outcome], list[str]]:
    """The outcomes in ``folder`` by key, and notices on lines passed over.

    Raises:
        RunFolderError: ``cells.jsonl`` is no plain file.
    """
    file = folder / CELLS_FILE
    if not file.exists() and not file.is_symlink():
        return {}, [f"{folder} has no {CELLS_FILE}: the run ended before its first outcome"]
    found: dict[Key, Outcome] = {}
    notices: list[str] = []
    with os.fdopen(open_regular(file, os.O_RDONLY), "rb") as stream:
        for line in read_lines(stream):
            if line.outcome is None or line.key is None:
                torn = "" if line.complete else " (torn: the run was killed, or is still going)"
                notices.append(f"{CELLS_FILE} line {line.number} was passed over: {line.fault}{torn}")
            elif line.key in found:
                notices.append(f"{CELLS_FILE} line {line.number} was passed over: it repeats an earlier key")
            else:
                found[line.key] = line.outcome
    if len(notices) > _MAX_NOTICES:
        notices[_MAX_NOTICES:] = [f"… and {len(notices) - _MAX_NOTICES} more lines of {CELLS_FILE} were passed over"]
    return found, notices


def read_header(folder: Path) -> dict[str, Any]:
    """The header (``run.json``) of a run folder.

    Raises:
        RunFolderError: missing, not readable, or of a format version that this harness does not know.
    """
    file = folder / HEADER_FILE
    with os.fdopen(open_regular(file, os.O_RDONLY), "rb") as stream:
        raw = stream.read(_MAX_HEADER_BYTES + 1)
    if len(raw) > _MAX_HEADER_BYTES:
        raise RunFolderError(f"{file} is larger than {_MAX_HEADER_BYTES >> 20} MiB")
    try:
        header = load_object(raw)
    except ValueError as error:
        raise RunFolderError(f"{file} cannot be read: {error}") from None
    version = header.get("format_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise RunFolderError(f"{file} has no format_version: is this a run folder?")
    if version > FORMAT_VERSION:
        raise RunFolderError(
            f"{file} has format version {version}, this harness reads up to {FORMAT_VERSION}: "
            "a newer harness wrote it; upgrade with: pip install --upgrade loss-harness"
        )
    return header


def resolve_run(path: str | os.PathLike[str]) -> Path:
    """The run folder that ``path`` names: itself, or what ``…/latest`` points to (a link, or a text file with a name).

    Raises:
        RunFolderError: there is no such run folder.
    """
    given = Path(path)
    try:
        folder = given.resolve(strict=True)
    except (OSError, RuntimeError):
        raise RunFolderError(f"there is no run folder {given}; python -m harness run SUITE makes one") from None
    if folder.is_file() and folder.name == LATEST:
        name = _named(folder)
        folder = folder.parent / name
    if not folder.is_dir():
        raise RunFolderError(f"{given} is no run folder: it names {folder}, which is no folder")
    if not (folder / HEADER_FILE).exists():
        hint = f"; did you mean {given / LATEST}?" if (folder / LATEST).exists() else ""
        raise RunFolderError(f"{given} is no run folder: it has no {HEADER_FILE}{hint}")
    return folder


def _named(file: Path) -> str:
    with os.fdopen(open_regular(file, os.O_RDONLY), "rb") as stream:
        name = stream.read(4096).decode("utf-8", "replace").strip()
    if not name or "/" in name or "\\" in name or "\0" in name or name in (".", "..", LATEST):
        raise RunFolderError(f"{file} names no run folder beside it")
    return name
