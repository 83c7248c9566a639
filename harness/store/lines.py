"""Outcomes as lines of ``cells.jsonl``, and lines of unknown origin back to outcomes or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from harness.core.case import parse_cell
from harness.core.errors import UnknownReferenceError
from harness.core.outcome import JUDGED, TIMED, Outcome, outcome_from_dict, outcome_to_dict
from harness.store.encoding import decode_numbers, dump_line, load_object

#: Cell, implementation, kind and check: unique within a run.
Key = tuple[str, str, str, str]
#: Longest line that is read; the longest that is written is far below it.
MAX_LINE_BYTES = 1 << 22
_REQUIRED = ("cell", "implementation", "kind", "check", "status", "reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of ``cells.jsonl`` as found: its number (from 1), its outcome and key, or why it has none.

    ``start`` and ``end`` are byte offsets; ``complete`` says whether it ends in a newline.
    """

    number: int
    start: int
    end: int
    complete: bool
    outcome: Outcome | None
    key: Key | None
    fault: str


def outcome_line(outcome: Outcome) -> bytes:
    """The line of ``outcome``.

    Raises:
        TypeError: a metric is no JSON value.
    """
    return dump_line(outcome_to_dict(outcome))


def read_lines(stream: BinaryIO) -> Iterator[Line]:
    """Every line of ``stream``, never raising for what stands in it."""
    number = end = 0
    while raw := stream.readline(MAX_LINE_BYTES):
        number, start, end = number + 1, end, end + len(raw)
        complete, outcome, key, fault = raw.endswith(b"\n"), None, None, ""
        if not complete and len(raw) == MAX_LINE_BYTES:
            skipped, complete = _skip_line(stream)
            end, fault = end + skipped, f"longer than {MAX_LINE_BYTES} bytes"
        else:
            try:
                outcome, key = parse_outcome(raw)
            except ValueError as error:
                fault = str(error)
        yield Line(number=number, start=start, end=end, complete=complete, outcome=outcome, key=key, fault=fault)


def parse_outcome(raw: bytes) -> tuple[Outcome, Key]:
    """The outcome in ``raw``, and its key.

    Raises:
        ValueError: ``raw`` is no outcome line; the message says why in a few words, quoting nothing of it.
    """
    line = load_object(raw)
    for name in _REQUIRED:
        if not isinstance(line.get(name), str):
            raise ValueError(f"{name} is missing or no text")
    if line["kind"] not in (JUDGED, TIMED):
        raise ValueError("kind is neither judged nor timed")
    if not isinstance(line.get("traceback") or "", str):
        raise ValueError("traceback is no text")
    if not isinstance(line.get("metrics", {}), dict):
        raise ValueError("metrics is no object")
    if b'nan"' in raw or b'inf"' in raw:
        line["metrics"] = decode_numbers(line.get("metrics", {}))
    try:
        outcome = outcome_from_dict(line)
    except UnknownReferenceError:
        raise ValueError("cell is no cell id") from None
    except ValueError:
        raise ValueError("status is none of the ten outcomes") from None
    if not _sizes_fit(line["cell"]):
        raise ValueError("cell has sizes beyond 64 bits")
    return outcome, (line["cell"], outcome.implementation, outcome.kind, outcome.check)


@lru_cache(maxsize=4096)
def _sizes_fit(cell: str) -> bool:
    case = parse_cell(cell)
    sizes = (case.batch, case.classes, case.features, *case.dims)
    whole = (*sizes, case.elements, case.ignore_index, case.seed)
    return all(size >= 0 for size in sizes) and all(abs(number) < 2**63 for number in whole)


def _skip_line(stream: BinaryIO) -> tuple[int, bool]:
    skipped = 0
    while raw := stream.readline(MAX_LINE_BYTES):
        skipped += len(raw)
        if raw.endswith(b"\n"):
            return skipped, True
    return skipped, False
