"""Import plugins and describe what they hold; runs in workers only, for it imports strangers' code."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from harness.core.errors import UnknownReferenceError
from harness.core.expectation import parse_expectation
from harness.core.implementation import Implementation
from harness.registry.declare import Declaration, collect
from harness.registry.own import own_losses
from harness.registry.sources import Source

#: Positional tensors of a loss of which nothing else is known: logits and target.
_POSITIONAL = 2
#: The loss that a callable without a declaration implements.
UNDECLARED = "cross_entropy"


def load_source(
    source: Source, positional: Mapping[str, int] = MappingProxyType({})
) -> list[tuple[Implementation, Callable[..., Any]]]:
    """Import ``source`` and return what it offers, described, with the callables.

    ``positional`` says how many tensors each loss is called with by position; they are no options.

    Raises:
        UnknownReferenceError: the callable is not there, or the file registers nothing.
        BaseException: whatever the plugin raises at import.
    """
    module, declarations = _module(source.target) if source.kind == "module" else collect(lambda: _import(source))
    assert isinstance(module, ModuleType)
    if source.callable:
        target = _attribute(module, source)
        declared = [d for d in declarations if d.target is target]
        return [_declared(d, source, positional) for d in declared[-1:]] or [(_undeclared(target, source), target)]
    if not declarations and source.origin != "reference":
        return []
    if not declarations:
        raise UnknownReferenceError(
            f"{source.text or source.target} registers no implementation\n"
            f"  its callables: {', '.join(_callables(module)) or 'none'}\n"
            f"  ask for one of them: {source.text or source.target}:NAME, or put @implementation(...) above it"
        )
    return [_declared(d, source, positional) for d in declarations]


def load_callable(implementation: Implementation) -> Callable[..., Any]:
    """The callable behind a description (its ``reference`` and ``name``)."""
    from harness.registry.sources import parse_reference

    base = Path.cwd()
    text = implementation.reference
    if ":" not in text and not text.endswith(".py") and "/" not in text:
        source = Source(kind="module", target=text, origin="entry point")
    else:
        source = parse_reference(text, base)
    found = load_source(source)
    if len(found) == 1:
        return found[0][1]
    for description, target in found:
        if description.name == implementation.name:
            return target
    raise UnknownReferenceError(f"{text} no longer registers {implementation.name!r}")


def missing_requirement(requires: tuple[str, ...]) -> str | None:
    """Why a package of ``requires`` is missing, with the line to type; None when all are there."""
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            return f"cannot read the requirement {text!r}; write a name with a version specifier, e.g. triton>=3.2"
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            return f"needs {text}, which is not installed: pip install '{text}'"
        if not requirement.specifier.contains(found, prereleases=True):
            return f"needs {text}, found {requirement.name} {found}: pip install '{text}'"
    return None


@cache
def _module(name: str) -> tuple[object, list[Declaration]]:
    """A module and what it declares; kept, for Python runs a module's body once and each callable asks again."""
    return collect(lambda: importlib.import_module(name))


def _import(source: Source) -> ModuleType:
    path = Path(source.target).resolve()
    file = path / "__init__.py" if path.is_dir() else path
    # a name of its own for every file, so that two files called loss.py do not shadow one another
    name = f"harness_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(
        name, file, submodule_search_locations=[str(path)] if path.is_dir() else None
    )
    if spec is None or spec.loader is None:
        raise UnknownReferenceError(f"{source.target} is no Python file or package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    folder = str(path.parent)
    sys.path.insert(0, folder)  # a user's file may import its neighbours, as a script can
    try:
        spec.loader.exec_module(module)
    finally:
        if folder in sys.path:
            sys.path.remove(folder)
    return module


def _attribute(module: ModuleType, source: Source) -> Callable[..., Any]:
    target: Any = module
    for part in source.callable.split("."):
        target = getattr(target, part, None)
    if not callable(target):
        found = "not there" if target is None else "not callable"
        raise UnknownReferenceError(
            f"{source.text or source.reference}: {source.callable!r} is {found}; "
            f"callables there: {', '.join(_callables(module)) or 'none'}"
        )
    return target


def _callables(module: ModuleType) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]


def _declared(
    declaration: Declaration, source: Source, positional: Mapping[str, int]
) -> tuple[Implementation, Callable[..., Any]]:
    own = own_losses().get(declaration.loss)
    count = len(own.tensors) if own else positional.get(declaration.loss, _POSITIONAL)
    options, defaults = signature_options(declaration.target, count)
    description = Implementation(
        name=declaration.name,
        loss=declaration.loss,
        reference=source.reference,
        options=options,
        defaults=defaults,
        required=_required(options, defaults),
        devices=declaration.devices,
        dtypes=declaration.dtypes,
        targets=declaration.targets,
        requires=declaration.requires,
        expect=tuple(parse_expectation(text, reason) for text, reason in declaration.expect.items()),
        summary=_summary(declaration.target),
        source=_where(declaration.target, source),
        origin=source.origin,
        unavailable=missing_requirement(declaration.requires),
    )
    return description, declaration.target


def _undeclared(target: Callable[..., Any], source: Source) -> Implementation:
    options, defaults = signature_options(target)
    return Implementation(
        name=source.callable,
        loss=UNDECLARED,
        reference=source.reference,
        options=options,
        defaults=defaults,
        required=_required(options, defaults),
        summary=_summary(target),
        source=_where(target, source),
        origin=source.origin,
    )


def _required(options: tuple[str, ...] | None, defaults: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name in options or () if name not in defaults)


def signature_options(
    target: Callable[..., Any], count: int = _POSITIONAL
) -> tuple[tuple[str, ...] | None, Mapping[str, Any]]:
    """Keyword options of a callable (None when it takes any) with their defaults.

    For an nn.Module class they are those of its constructor; for an instance those of ``forward``; the first ``count``
    positional parameters of a function are tensors (logits and target) and are not options.
    """
    is_class = inspect.isclass(target)
    try:
        signature = inspect.signature(getattr(target, "forward", target) if not is_class else target)
    except (TypeError, ValueError):
        return None, {}
    names: list[str] = []
    defaults: dict[str, Any] = {}
    positional = 0
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            return None, {}
        if parameter.kind is parameter.VAR_POSITIONAL:
            continue
        if parameter.kind is not parameter.KEYWORD_ONLY and not is_class and positional < count:
            positional += 1
            continue
        if parameter.kind is parameter.POSITIONAL_ONLY:
            continue
        names.append(parameter.name)
        if parameter.default is not parameter.empty:
            defaults[parameter.name] = parameter.default
    return tuple(names), defaults


def _summary(target: object) -> str:
    text = inspect.getdoc(target) or ""
    return text.strip().splitlines()[0] if text.strip() else ""


def _where(target: object, source: Source) -> str:
    try:
        return f"{source.target}:{inspect.getsourcelines(inspect.unwrap(target))[1]}"  # type: ignore[arg-type]
    except (OSError, TypeError):
        return source.target
