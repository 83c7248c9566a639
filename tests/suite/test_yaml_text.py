import time
from pathlib import Path

import pytest

from harness.core.errors import SuiteError
from harness.suite.yaml_text import MAX_BYTES, parse_document, read_document, top_value

SOURCE = Path("suite.yaml")


def read(text: str) -> dict:
    return dict(parse_document(text, SOURCE).values)


def message(text: str) -> str:
    with pytest.raises(SuiteError) as caught:
        parse_document(text, SOURCE)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("0x10", 16),
        ("0o10", 8),
        ("-.inf", float("-inf")),
        ("true", True),
        ("False", False),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("~", None),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("[1, a]", [1, "a"]),
        ("<<", "<<"),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    found = read(f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_item_has_its_line() -> None:
    document = parse_document("a: 1\nb:\n  - c: 2\n    d: 3\n  - 4\n", SOURCE)
    assert document.line(("a",)) == 1
    assert document.line(("b", 0, "d")) == 4
    assert document.line(("b", 1)) == 5
    assert document.line(("b", 0, "missing", 3)) == 3


def test_an_anchor_used_sparingly_is_read() -> None:
    assert read("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a: 1\nb: 2\na: 3\n", ["suite.yaml:3: a", "second time", "line 1", "each key once"]),
        ("a:\n  b: 1\n  b: 2\n", ["suite.yaml:3: a.b", "second time"]),
        ("", ["suite.yaml:1", "an empty file", "suite, description"]),
        ("# only a comment\n", ["an empty file"]),
        ("- a\n", ["suite.yaml:1", "a list", "a mapping"]),
        ("just text", ["'just text'", "a mapping"]),
        ("x: 1\na: !thing 1", ["suite.yaml:2: a", "the tag !thing", "without tags"]),
        ("a: !!python/object/apply:os.system [ls]", ["the tag !!python/object/apply:os.system", "without tags"]),
        ("a: !!set {b}", ["the tag !!set"]),
        ("1: a", ["the key '1'", "keys that are words"]),
        ("true: a", ["the key 'true'"]),
        ("? [a]\n: 1", ["keys that are words"]),
        ("a: [1, 2\nb: 3", ["suite.yaml:2", "expected ',' or ']'", "well-formed"]),
        ("a: *nothing", ["undefined alias", "well-formed"]),
        ("a: 1\n---\nb: 2\n", ["another document"]),
        ("a: b\x00", ["suite.yaml:1", "#x0000", "printable"]),
        ("a: 1\nb: " + "9" * 5000, ["suite.yaml:2: b", "999", "ordinary size"]),
        ("a: " + "[" * 50_000, ["deeper nesting", "at most 12 levels"]),
        ("a: &a [*a]", ["an alias inside itself"]),
    ],
)
def test_bad_yaml_is_refused_with_place_and_reason(text: str, parts: list[str]) -> None:
    found = message(text)
    for part in (*parts, "found:", "allowed:"):
        assert part in found


def test_an_alias_bomb_is_refused_at_once() -> None:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    start = time.perf_counter()
    assert "aliases that expand to too many values" in message("\n".join(levels))
    assert time.perf_counter() - start < 1


def test_a_file_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "latin.yaml"
    source.write_bytes(b"suite: x\ndescription: caf\xe9\n")
    with pytest.raises(SuiteError) as caught:
        read_document(source)
    assert f"{source}:2" in str(caught.value)
    assert "0xe9" in str(caught.value)
    assert "UTF-8" in str(caught.value)


def test_utf16_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "wide.yaml"
    source.write_bytes("suite: x\n".encode("utf-16"))
    with pytest.raises(SuiteError, match="UTF-8"):
        read_document(source)


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    source = tmp_path / "bom.yaml"
    source.write_bytes(b"\xef\xbb\xbfsuite: x\n")
    assert read_document(source).values == {"suite": "x"}


def test_a_file_too_large_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "large.yaml"
    source.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(SuiteError, match=r"more than 262144 bytes"):
        read_document(source)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="cannot be read"):
        read_document(tmp_path)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("suite: x\ndescription: one line\n", "one line"),
        ("cases: [{description: inner}]\ndescription: >\n  two\n  lines\nother: [", "two lines\n"),
        ("suite: x\n", None),
        ("description: [a]\n", None),
        ("description: [", None),
    ],
)
def test_one_top_value_is_read_without_the_rest(text: str, value: str | None) -> None:
    assert top_value(text, "description") == value
