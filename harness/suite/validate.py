"""Hold one mapping of a YAML file against its pydantic model; all that is wrong with it, told with file and line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from harness.suite.fields import Text
from harness.suite.problems import Problem, closest, found_text, key_path
from harness.suite.yaml_text import Document, KeyPath

_TextModel = TypeVar("_TextModel", bound=Text)


def read_mapping(
    model: type[_TextModel], value: object, path: KeyPath, document: Document, problems: list[Problem]
) -> _TextModel | None:
    """``value``, which stands at ``path``, as ``model`` reads it; None with everything wrong added to ``problems``."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fields = {field.alias or name: field.description or "" for name, field in model.model_fields.items()}
        seen: set[KeyPath] = set()
        for item in error.errors(include_url=False, include_context=False):
            problem = _translate(dict(item), value, path, document, fields)
            # a union reports one error per member; one is enough for a person
            place = document.known((*path, *item["loc"]))
            if place not in seen or item["type"] == "missing":
                problems.append(problem)
            seen.add(place)
        return None


def _translate(
    item: Mapping[str, Any], value: object, path: KeyPath, document: Document, fields: Mapping[str, str]
) -> Problem:
    location: KeyPath = tuple(item["loc"])
    name = str(location[0]) if location else ""
    if item["type"] == "extra_forbidden":
        found = f"unknown key {name!r}{closest(name, fields)}"
        return problem_at(document, (*path, *location), found, ", ".join(fields))
    allowed = fields.get(name, "a mapping")
    if item["type"] == "missing":
        return Problem(line=document.line(path), key=key_path((*path, *location)), found="no such key", allowed=allowed)
    place = document.known((*path, *location))
    stood = _at(value, place[len(path) :])
    hint = closest(stood, allowed.split(", ")) if isinstance(stood, str) else ""
    return problem_at(document, place, found_text(stood) + hint, allowed)


def _at(value: object, path: KeyPath) -> object:
    for part in path:
        value = value[part] if isinstance(value, dict | list) else None  # pyright: ignore[reportCallIssue, reportArgumentType]
    return value


def problem_at(document: Document, path: KeyPath, found: str, allowed: str) -> Problem:
    """What stands at ``path`` of ``document`` is wrong: found so, allowed so."""
    return Problem(line=document.line(path), key=key_path(path), found=found, allowed=allowed)
