"""YAML text to plain values with the line of every key; closes PyYAML's holes (1e-5, no, repeated keys, bombs)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent, ScalarEvent
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from harness.core.errors import SuiteError
from harness.suite.problems import Problem, key_path, suite_error

KeyPath = tuple[str | int, ...]
Value = str | int | float | bool | list["Value"] | dict[str, "Value"] | None

MAX_BYTES = 256 * 1024
MAX_NODES = 20_000
MAX_DEPTH = 12

_TAG = "tag:yaml.org,2002:"
_MAP, _SEQ, _STR, _PLAIN_TAG = _TAG + "map", _TAG + "seq", _TAG + "str", "plain"
#: YAML 1.2 core schema: only true/false are booleans, 1e-5 is a number, 010 is ten, 1:30 is text.
_PLAIN: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A YAML file read: its top mapping, and the 1-based line of every key and list item by path."""

    source: Path
    text: str
    values: Mapping[str, Value]
    lines: Mapping[KeyPath, int]

    def line(self, path: KeyPath) -> int:
        """Line of ``path``, or of the nearest thing that contains it."""
        return self.lines[self.known(path)]

    def known(self, path: KeyPath) -> KeyPath:
        """The longest beginning of ``path`` that stands in the file."""
        while path not in self.lines:
            path = path[:-1]
        return path


class _Loader(yaml.SafeLoader):
    """Composes nodes only; a plain scalar is tagged as such, so that YAML 1.1's rules never apply to it."""

    def resolve(self, kind: type[Node], value: str, implicit: tuple[bool, bool] | bool) -> str:
        plain = kind is ScalarNode and isinstance(implicit, tuple) and implicit[0]
        return _PLAIN_TAG if plain else _STR if kind is ScalarNode else _SEQ if kind is SequenceNode else _MAP


def read_document(source: Path) -> Document:
    """Read the YAML file ``source``.

    Raises:
        SuiteError: it cannot be opened, is larger than 256 KiB, not UTF-8, not YAML, empty, no mapping, repeats a key,
            has a tag, or expands (by aliases) to more than 20,000 values.
    """
    try:
        with source.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise SuiteError(f"{source}: cannot be read: {error.strerror}\n  allowed: a readable YAML file") from None
    if len(data) > MAX_BYTES:
        raise _refused(source, 1, (), f"more than {MAX_BYTES} bytes", f"a suite file of at most {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        found = f"byte 0x{data[error.start]:02x} at offset {error.start}, which is not UTF-8"
        raise _refused(source, line, (), found, "text in UTF-8") from None
    return parse_document(text, source)


def parse_document(text: str, source: Path) -> Document:
    """Read YAML ``text``; ``source`` names it in messages. Raises as :func:`read_document`."""
    root = _compose(text, source)
    if root is None or (isinstance(root, ScalarNode) and not root.value):
        raise _refused(source, 1, (), "an empty file", "a mapping with the keys suite, description, cases, …")
    if not isinstance(root, MappingNode):
        found = "a list" if isinstance(root, SequenceNode) else f"{root.value!r}"[:60]
        raise _refused(source, _line(root), (), found, "a mapping with the keys suite, description, cases, …")
    builder = _Builder(source)
    values = builder.mapping(root, ())
    return Document(source=source, text=text, values=values, lines={**builder.lines, (): _line(root)})


def top_value(text: str, key: str) -> str | None:
    """The scalar under top-level ``key``, reading no further than it; None where there is none or no YAML."""
    depth, is_key, wanted = 0, True, False
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if isinstance(event, CollectionStartEvent | CollectionEndEvent):
                depth += 1 if isinstance(event, CollectionStartEvent) else -1
                is_key, wanted = (True, False) if depth == 1 else (is_key, wanted)
            elif isinstance(event, ScalarEvent) and depth == 1:
                if wanted:
                    return str(event.value)
                wanted, is_key = is_key and event.value == key, not is_key
    except yaml.YAMLError:
        return None
    return None


def _compose(text: str, source: Path) -> Node | None:
    try:
        # the composer recurses, so depth is bounded on the flat stream of events first
        for line, depth in _depths(text):
            if depth > MAX_DEPTH:
                raise _refused(source, line, (), "deeper nesting", f"at most {MAX_DEPTH} levels of lists and mappings")
        return yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        found = " ".join(part for part in (error.context, error.problem) if part)
        raise _refused(source, mark.line + 1 if mark else 1, (), found, "one well-formed YAML document") from None
    except yaml.YAMLError as error:
        found = str(error).splitlines()[0]
        raise _refused(source, _reader_line(text, error), (), found, "printable text as YAML defines it") from None


def _depths(text: str) -> Iterator[tuple[int, int]]:
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, CollectionStartEvent):
            depth += 1
            yield (event.start_mark.line + 1 if event.start_mark else 1), depth
        elif isinstance(event, CollectionEndEvent):
            depth -= 1


def _reader_line(text: str, error: yaml.YAMLError) -> int:
    position = getattr(error, "position", 0)
    return text.count("\n", 0, position if isinstance(position, int) else 0) + 1


class _Builder:
    """Turns nodes into values, noting lines and counting what aliases expand to."""

    def __init__(self, source: Path) -> None:
        self.source = source
        self.lines: dict[KeyPath, int] = {}
        self.nodes = 0

    def mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, path)
            here = (*path, key)
            if key in values:
                found = f"the key {key!r} a second time (first on line {self.lines[here]})"
                raise _refused(self.source, _line(key_node), here, found, "each key once")
            self.lines[here] = _line(key_node)
            values[key] = self.value(value_node, here)
        return values

    def value(self, node: Node, path: KeyPath) -> Value:
        self.nodes += 1
        # a chain of aliases to aliases (a "billion laughs" file) and a list that contains itself both end here
        if self.nodes > MAX_NODES or len(path) > MAX_DEPTH:
            found = "aliases that expand to too many values" if self.nodes > MAX_NODES else "an alias inside itself"
            allowed = f"at most {MAX_NODES} values, {MAX_DEPTH} levels deep"
            raise _refused(self.source, _line(node), path, found, allowed)
        if isinstance(node, MappingNode) and node.tag == _MAP:
            return self.mapping(node, path)
        if isinstance(node, SequenceNode) and node.tag == _SEQ:
            return [self._item(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode):
            return self._scalar(node, path)
        raise _refused(self.source, _line(node), path, f"the tag {_tag(node)}", "plain YAML without tags")

    def _item(self, node: Node, path: KeyPath) -> Value:
        self.lines[path] = _line(node)
        return self.value(node, path)

    def _key(self, node: Node, path: KeyPath) -> str:
        value = self._scalar(node, path) if isinstance(node, ScalarNode) else None
        if not isinstance(value, str):
            found = f"the key {getattr(node, 'value', '')!r}"[:60]
            raise _refused(self.source, _line(node), path, found, "keys that are words")
        return value

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Value:
        kind = _kind(node)
        if kind is None:
            raise _refused(self.source, _line(node), path, f"the tag {_tag(node)}", "plain YAML without tags")
        try:
            return _convert(kind, str(node.value))
        except ValueError:
            found = f"{str(node.value)[:40]!r} as {kind}"
            raise _refused(self.source, _line(node), path, found, "a number of ordinary size") from None


def _kind(node: ScalarNode) -> str | None:
    """``str``, ``int``, ``float``, ``bool`` or ``null`` of a scalar; None when its tag is any other."""
    if node.tag == _PLAIN_TAG:
        return next((kind for kind, pattern in _PLAIN if pattern.fullmatch(str(node.value))), "str")
    return "str" if node.tag == _STR else None


def _convert(kind: str, text: str) -> Value:
    if kind == "bool":
        return text.lower() == "true"
    if kind == "null":
        return None
    if kind == "int":
        digits = text.lower()
        base = 16 if digits.startswith("0x") else 8 if digits.startswith("0o") else 10
        return int(digits, base)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def _tag(node: Node) -> str:
    return str(node.tag).replace(_TAG, "!!")


def _line(node: Node) -> int:
    return node.start_mark.line + 1 if node.start_mark else 1


def _refused(source: Path, line: int, path: KeyPath, found: str, allowed: str) -> SuiteError:
    return suite_error(source, [Problem(line=line, key=key_path(path), found=found, allowed=allowed)])
