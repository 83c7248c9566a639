"""Raw samples: one gzip member per timed cell and half, so that a kill tears at most the last one."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from harness.core.errors import RunFolderError
from harness.store.encoding import decode_numbers, dump_line, load_object
from harness.store.files import open_regular
from harness.store.reading import resolve_run

SAMPLES_FILE = "samples.jsonl.gz"
#: Largest member unpacked; a real one is a few hundred kilobytes.
MAX_MEMBER_BYTES = 1 << 26
#: Largest file read; a run of 2,000 cells writes a tenth of it.
MAX_FILE_BYTES = 1 << 28
_MAGIC = re.compile(rb"\x1f\x8b\x08")
_CHUNK = 1 << 16
_GZIP = 31  # zlib's wbits for one gzip member with header and check sum


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """Raw samples of one timed cell, as one of the two processes that time each cell took them.

    ``half`` is 0 or 1: which process (0 in files from before there were two). ``samples_ns[implementation]`` holds one
    entry per sample: nanoseconds of ``calls_per_sample[implementation]`` calls together, in the order of the rounds;
    ``rounds`` is how many rounds were run.
    """

    cell: str
    samples_ns: Mapping[str, tuple[float, ...]]
    calls_per_sample: Mapping[str, int]
    rounds: int
    half: int = 0


@dataclass(frozen=True, slots=True)
class Member:
    """One gzip member as found: its bytes in the file and what it holds (None: torn or broken)."""

    start: int
    end: int
    content: bytes | None


def samples_member(
    cell: str, samples_ns: Mapping[str, Sequence[float]], calls_per_sample: Mapping[str, int], half: int = 0
) -> bytes:
    """The gzip member that holds one half of a timed cell.

    Raises:
        TypeError: a sample is no number.
    """
    line = {
        "cell": cell,
        "half": half,
        "samples_ns": {name: list(values) for name, values in samples_ns.items()},
        "calls_per_sample": dict(calls_per_sample),
        "rounds": max((len(values) for values in samples_ns.values()), default=0),
    }
    return gzip.compress(dump_line(line), compresslevel=6, mtime=0)


def read_samples(path: str | os.PathLike[str], notices: list[str] | None = None) -> Iterator[Samples]:
    """The samples of each timed cell of the run folder ``path``, one cell at a time, in the order of timing.

    Each half of a cell comes by itself. Where one stands twice (a kill came between its samples and its outcomes, and a
    resumed run timed it again) the last one counts. What cannot be read is passed
    over with a line in ``notices``, if given.

    Raises:
        RunFolderError: no run folder, or its file of samples is no plain file or too large.
    """
    file = resolve_run(path) / SAMPLES_FILE
    if not file.exists() and not file.is_symlink():
        return
    data = _read(file)
    last: dict[tuple[str, int], Member] = {}
    for member in members(data):
        try:
            if member.content is None:
                raise ValueError("torn or broken")
            cell = _cell(member.content)
        except ValueError as error:
            if notices is not None:
                notices.append(f"{SAMPLES_FILE}: bytes {member.start} to {member.end} were passed over: {error}")
            continue
        last.pop(cell, None)
        last[cell] = Member(member.start, member.end, None)
    for member in last.values():
        yield _parse(gzip.decompress(data[member.start : member.end]))


def members(data: bytes) -> Iterator[Member]:
    """The gzip members of ``data`` in order; bytes that are none come as a member without content."""
    position = 0
    while position < len(data):
        content, end = _member(data, position)
        if content is None:
            following = next(
                (m.start() for m in _MAGIC.finditer(data, position + 1) if _member(data, m.start())[0]), None
            )
            end = len(data) if following is None else following
        yield Member(position, end, content)
        position = end


def repair_samples(folder: Path) -> str | None:
    """Cut a torn last member off, so that the next one can be appended; returns a notice where that was needed.

    Raises:
        RunFolderError: the file is no plain file, or cannot be written to.
    """
    file = folder / SAMPLES_FILE
    if not file.exists() and not file.is_symlink():
        return None
    data, tail = _read(file), None
    for member in members(data):
        tail = member
    if tail is None or tail.content is not None:
        return None
    descriptor = open_regular(file, os.O_RDWR)
    try:
        os.ftruncate(descriptor, tail.start)
    finally:
        os.close(descriptor)
    return f"{SAMPLES_FILE}: the last cell's samples were torn; {tail.end - tail.start} bytes were cut off"


def _member(data: bytes, start: int) -> tuple[bytes | None, int]:
    unpacker, parts, room, position = zlib.decompressobj(_GZIP), list[bytes](), MAX_MEMBER_BYTES, start
    while not unpacker.eof:
        chunk = data[position : position + _CHUNK]  # not all of the rest: zlib copies what it leaves unused
        try:
            parts.append(unpacker.decompress(chunk, room))
        except zlib.error:
            return None, start
        room -= len(parts[-1])
        if not chunk or room <= 0:
            return None, start
        position += len(chunk)
    return b"".join(parts), position - len(unpacker.unused_data)


def _cell(content: bytes) -> tuple[str, int]:
    found = _parse(content)
    return found.cell, found.half


def _parse(content: bytes) -> Samples:
    line = load_object(content)
    cell, samples, calls = line.get("cell"), decode_numbers(line.get("samples_ns")), line.get("calls_per_sample")
    if not isinstance(cell, str) or not isinstance(samples, dict) or not isinstance(calls, dict):
        raise ValueError("cell, samples_ns or calls_per_sample is missing")
    found = cast(dict[str, Any], samples)
    if not all(isinstance(values, list) and _numbers(cast(list[Any], values)) for values in found.values()):
        raise ValueError("samples_ns holds something else than numbers")
    counts = cast(dict[str, Any], calls)
    if not all(isinstance(count, int) and count > 0 for count in counts.values()):
        raise ValueError("calls_per_sample holds something else than counts")
    series = {name: tuple(cast(list[float], values)) for name, values in found.items()}
    rounds = max((len(values) for values in series.values()), default=0)
    half = line.get("half", 0)
    if half not in (0, 1):
        raise ValueError("half is neither 0 nor 1")
    return Samples(cell=cell, samples_ns=series, calls_per_sample=counts, rounds=rounds, half=half)


def _numbers(values: list[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _read(file: Path) -> bytes:
    descriptor = open_regular(file, os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as stream:
        data = stream.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise RunFolderError(f"{file} is larger than {MAX_FILE_BYTES >> 20} MiB")
    return data
