"""The folder of a live run: made or resumed, locked, appended to as outcomes happen."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.core.errors import RunFolderError
from harness.core.outcome import Outcome
from harness.store.encoding import dump_document
from harness.store.files import append_whole, lock, open_regular, point_latest, write_all, write_atomically
from harness.store.lines import Key, outcome_line, read_lines
from harness.store.reading import (
    CELLS_FILE,
    FORMAT_VERSION,
    HEADER_FILE,
    read_header,
    read_outcomes,
    resolve_run,
)
from harness.store.samples import SAMPLES_FILE, repair_samples, samples_member

REPORT_FILES = ("report.html", "report.md")
_RESERVED = ("format_version", "run_id", "started")
_APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT


class RunFolder:
    """The folder of one live run; a context manager that lets go of the folder at its end.

    Order of writing per cell: judged outcomes as they happen, then :meth:`append_samples`, then the timed outcomes, so
    that a kill at any moment costs at most the cell under way. ``notices`` says what was repaired or could not be had.

    Attributes:
        path: the run's own folder.
        run_id: its name: UTC time, suite, and six random hexadecimal digits.
        notices: messages for the user.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], cells: int, done: set[Key], notices: list[str]) -> None:
        """Used by :meth:`create` and :meth:`resume`, which hand over the locked descriptor ``cells``."""
        self.path = path
        self.run_id = str(header.get("run_id") or path.name)
        self.notices = notices
        self._header = dict(header)
        self._cells: int | None = cells
        self._samples: int | None = None
        self._done = done

    @classmethod
    def create(cls, out: Path, suite_name: str, header: Mapping[str, Any]) -> RunFolder:
        """Make ``out/<run-id>/`` with its ``run.json``, lock it, and point ``out/latest`` at it.

        Args:
            out: folder of runs; made where missing.
            suite_name: name of the suite; characters that file names dislike become ``-`` in the run id.
            header: suite as run, environment, package versions, git revision, command line, … ; JSON values.

        Raises:
            RunFolderError: the folder cannot be made or written to.
            ValueError: ``header`` has a key that the store sets itself (format_version, run_id, started).
        """
        clash = [name for name in _RESERVED if name in header]
        if clash:
            raise ValueError(f"the store sets {', '.join(clash)} itself")
        started = datetime.now(UTC)
        path = _make_folder(Path(out), suite_name, started)
        full = {"format_version": FORMAT_VERSION, "run_id": path.name, "started": started.isoformat(timespec="seconds")}
        full.update(header)
        cells = open_regular(path / CELLS_FILE, _APPEND | os.O_EXCL)
        locked = lock(cells, path)
        write_atomically(path / HEADER_FILE, dump_document(full))
        notices = [notice for notice in (locked, point_latest(Path(out), path.name)) if notice]
        return cls(path, full, cells, set(), notices)

    @classmethod
    def resume(cls, path: str | os.PathLike[str]) -> RunFolder:
        """Take up the run in ``path`` (``…/latest`` is followed) where it was killed.

        A torn last line and torn last samples are repaired, each with a notice; :attr:`done` holds what need not run.

        Raises:
            RunFolderError: no run folder, a newer format, or another live run holds it.
        """
        folder = resolve_run(path)
        header = read_header(folder)
        cells = open_regular(folder / CELLS_FILE, _APPEND)
        try:
            notices = [lock(cells, folder), _repair_cells(cells), repair_samples(folder)]
            found, more = read_outcomes(folder)
        except BaseException:
            os.close(cells)
            raise
        return cls(folder, header, cells, set(found), [notice for notice in notices if notice] + more)

    @property
    def header(self) -> Mapping[str, Any]:
        """What ``run.json`` holds."""
        return self._header

    @property
    def done(self) -> AbstractSet[Key]:
        """Keys (cell, implementation, kind, check) of every outcome in the folder."""
        return self._done

    def outcomes(self) -> tuple[Outcome, ...]:
        """Every outcome in the folder, read from its file."""
        return tuple(read_outcomes(self.path)[0].values())

    def append(self, outcome: Outcome) -> None:
        """Write one outcome; once this returns it survives a kill of this process.

        Raises:
            RunFolderError: its key is there already, the folder is closed, or the disk refuses.
            TypeError: a metric is no JSON value.
        """
        cells = self._open()
        if outcome.key in self._done:
            raise RunFolderError(f"{self.path} holds an outcome already for {' '.join(outcome.key)}")
        append_whole(cells, outcome_line(outcome), self.path / CELLS_FILE)
        self._done.add(outcome.key)

    def append_samples(
        self, cell: str, samples_ns: Mapping[str, Sequence[float]], calls_per_sample: Mapping[str, int], half: int = 0
    ) -> None:
        """Write the raw samples that one process took of one timed cell, before the cell's timed outcomes.

        Args:
            cell: id of the cell.
            samples_ns: per implementation, nanoseconds of one sample each, in the order of the rounds.
            calls_per_sample: per implementation, how many calls one sample is.
            half: which of the two processes that time each cell took them, 0 or 1.

        Raises:
            RunFolderError: the folder is closed, or the disk refuses.
            TypeError: a sample is no number.
        """
        self._open()
        content = samples_member(cell, samples_ns, calls_per_sample, half)
        if self._samples is None:
            self._samples = open_regular(self.path / SAMPLES_FILE, _APPEND)
        append_whole(self._samples, content, self.path / SAMPLES_FILE)

    def update_header(self, **values: Any) -> None:
        """Set keys of ``run.json`` (ended, seconds, exit_status, notes, …), replacing the file as one step.

        Raises:
            RunFolderError: the folder is closed, or the disk refuses.
            TypeError: a value is no JSON value.
        """
        self._open()
        updated = {**self._header, **values}
        write_atomically(self.path / HEADER_FILE, dump_document(updated))
        self._header = updated

    def write_report(self, name: str, text: str) -> Path:
        """Write ``report.html`` or ``report.md`` as one step and return its path.

        Raises:
            RunFolderError: the folder is closed, or the disk refuses.
            ValueError: any other name.
        """
        self._open()
        if name not in REPORT_FILES:
            raise ValueError(f"{name!r} is none of {', '.join(REPORT_FILES)}")
        write_atomically(self.path / name, text.encode("utf-8", "replace"))
        return self.path / name

    def close(self) -> None:
        """Let go of the folder; a second call does nothing."""
        for descriptor in (self._samples, self._cells):
            if descriptor is not None:
                os.close(descriptor)
        self._samples = self._cells = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> int:
        if self._cells is None:
            raise RunFolderError(f"the run folder {self.path} is closed")
        return self._cells


def _make_folder(out: Path, suite_name: str, started: datetime) -> Path:
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", suite_name).strip("-.")[:40] or "suite"
    try:
        out.mkdir(parents=True, exist_ok=True)
        while True:
            path = out / f"{started:%Y%m%dT%H%M%SZ}-{slug}-{secrets.token_hex(3)}"
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return path
    except OSError as error:
        raise RunFolderError(
            f"cannot make a run folder in {out}: {error.strerror}; choose another with --out"
        ) from None


def _repair_cells(cells: int) -> str | None:
    """Make the file end in a whole line: complete a last line that lacks only its newline, cut a torn one off."""
    last = None
    with os.fdopen(os.dup(cells), "rb") as stream:
        for line in read_lines(stream):
            last = line
    if last is None or last.complete:
        return None
    if last.outcome is not None:
        write_all(cells, b"\n")
        return f"{CELLS_FILE}: line {last.number} lacked its newline; it was added"
    os.ftruncate(cells, last.start)
    return f"{CELLS_FILE}: line {last.number} was torn by a kill; its {last.end - last.start} bytes were cut off"
