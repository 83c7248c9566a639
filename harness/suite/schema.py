"""The suite file's schema: pydantic inside, plain dataclasses out, every problem of a file told at once.

Top level: ``suite``, ``description``, ``baseline``, ``implementations``, ``checks``, ``cases``, ``training``,
``timing`` (a mapping, or ``none``: cells are judged only), ``grade``, ``gate``, ``limits``. An entry of ``cases`` has
the axes of its loss family; ``shape`` may stand in place of ``batch`` and ``classes``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field

from harness.core.family import Family
from harness.suite.fields import Text, as_list, entry_model
from harness.suite.model import CELL_CHECKS, CHECKS, SHAPE, AxisValue, Budget, Entry, Gate, Limits, Suite, Timing
from harness.suite.problems import Problem, closest, found_text, key_path, suite_error
from harness.suite.sizes import parse_bytes
from harness.suite.training import training_of
from harness.suite.validate import problem_at, read_mapping
from harness.suite.yaml_text import Document, KeyPath

_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"
#: A registered name or glob, module:callable, path.py:callable or path.py.
_REFERENCE = r"^([\w.*?!\[\]+-]+|[\w.]+:[A-Za-z_][\w.]*|[^:]+\.py(:[A-Za-z_][\w.]*)?)$"
_ONE_REFERENCE = r"^([\w.+-]+|[\w.]+:[A-Za-z_][\w.]*|[^:]+\.py:[A-Za-z_][\w.]*)$"
_REFERENCES = "a name or glob, module:callable, path.py:callable or path.py; one or a list"

_CASES = "a list of entries, each a mapping of axes (or a list under training)"

_Positive = Annotated[float, Field(gt=0)]
_TextModel = TypeVar("_TextModel", bound=Text)


def _named_checks(value: Any) -> Any:
    return {"all": list(CHECKS), "none": []}.get(value, [value]) if isinstance(value, str) else value


def _known_check(value: str) -> str:
    if value not in CHECKS:
        raise ValueError(value)
    return value


def _not_blank(value: Any) -> Any:
    if value == []:
        raise ValueError(value)
    return value


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(value)
    return parse_bytes(value)


class SuiteText(Text):
    """The top level of a suite file; its sections are read on their own, so that all problems are told together."""

    suite: Annotated[str, Field(pattern=_NAME, description="a short name of letters, digits, '_', '.' and '-'")]
    description: Annotated[str, Field(min_length=1, description="one sentence")]
    baseline: Annotated[
        str, Field(pattern=_ONE_REFERENCE, description="a name, module:callable or path.py:callable (no glob)")
    ] = "torch"
    implementations: Annotated[
        list[Annotated[str, Field(pattern=_REFERENCE)]],
        BeforeValidator(as_list),
        Field(min_length=1, description=_REFERENCES, default_factory=lambda: ["*"]),
    ]
    checks: Annotated[
        list[Annotated[str, AfterValidator(_known_check)]],
        BeforeValidator(_named_checks),
        BeforeValidator(_not_blank),
        Field(
            description=f"{', '.join(CHECKS)} (one or a list), all, or none", default_factory=lambda: list(CELL_CHECKS)
        ),
    ]
    cases: Annotated[
        list[Any], Field(min_length=1, description="a list of entries, each a mapping of axes", default_factory=list)
    ]
    training: Annotated[list[Any], Field(description="a list of workloads to train", default_factory=list)]
    timing: Annotated[
        dict[str, Any] | Literal["none"], Field(description="a mapping, or none (judge only)", default_factory=dict)
    ]
    grade: Annotated[Literal["relative", "tight", "standard"], Field(description="relative, tight, standard")] = (
        "standard"
    )
    gate: Annotated[dict[str, Any], Field(description="a mapping", default_factory=dict)]
    limits: Annotated[dict[str, Any], Field(description="a mapping", default_factory=dict)]


class TimingText(Text):
    """Section ``timing``."""

    target_relative_width: Annotated[float, Field(gt=0, le=1, description="a number above 0, at most 1")] = 0.02
    max_seconds_per_cell: Annotated[float, Field(gt=0, le=86400, description="seconds above 0, at most 86400")] = 5.0
    cache: Annotated[Literal["cold", "warm"], Field(description="cold, warm")] = "cold"
    cuda_graph: Annotated[bool, Field(description="true (on CUDA, time the replay of recorded calls) or false")] = False


class GateText(Text):
    """Section ``gate``."""

    max_slowdown: Annotated[float, Field(ge=1, description="a ratio new ÷ old time ≥ 1, e.g. 1.05")] = 1.05
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="a number between 0.5 and 1, e.g. 0.99")] = 0.99
    max_memory_growth: Annotated[float | None, Field(ge=1, description="a ratio new ÷ old bytes ≥ 1, e.g. 1.1")] = None
    min_speedup: Annotated[
        dict[str, _Positive],
        Field(description="a mapping of implementations to numbers above 0, e.g. {naive: 0.5}", default_factory=dict),
    ]

    budgets: Annotated[
        list[Any],
        Field(description="a list of entries such as {cell: '*/float32/*', max_slowdown: 1.1}", default_factory=list),
    ]


class BudgetText(Text):
    """One entry of ``gate.budgets``."""

    cell: Annotated[str, Field(min_length=1, description="a glob over cell ids, e.g. '*/1024x32000/*'")] = "*"
    implementation: Annotated[str, Field(min_length=1, description="a name or glob")] = "*"
    max_slowdown: Annotated[float | None, Field(ge=1, description="a ratio new ÷ old time ≥ 1, e.g. 1.05")] = None
    max_memory_growth: Annotated[float | None, Field(ge=1, description="a ratio new ÷ old bytes ≥ 1, e.g. 1.1")] = None
    min_speedup: Annotated[float | None, Field(gt=0, description="a ratio to the baseline above 0")] = None
    max_seconds_per_call: Annotated[float | None, Field(gt=0, description="seconds above 0")] = None
    max_peak_memory: Annotated[
        int | None, BeforeValidator(_size), Field(description="a size such as 400MiB, or bytes > 0")
    ] = None


class LimitsText(Text):
    """Section ``limits``."""

    seconds_per_call: Annotated[float, Field(gt=0, le=86400, description="seconds above 0, at most 86400")] = 120.0
    memory: Annotated[int | None, BeforeValidator(_size), Field(description="a size such as 8GiB, or bytes > 0")] = None


def suite_of(document: Document, families: Mapping[str, Family]) -> Suite:
    """The suite that ``document`` describes, for the loss ``families`` at hand.

    Raises:
        SuiteError: anything in it is unknown, missing, of a wrong type or out of range; all such problems together.
    """
    problems: list[Problem] = []
    top = read_mapping(SuiteText, document.values, (), document, problems)
    sections = {name: document.values.get(name, {}) for name in ("timing", "gate", "limits")}
    timing = _section(TimingText, sections["timing"], "timing", document, problems)
    gate = _section(GateText, sections["gate"], "gate", document, problems)
    limits = _section(LimitsText, sections["limits"], "limits", document, problems)
    budgets = _budgets(document, sections["gate"], problems)
    entries = _entries(document, families, problems)
    training = training_of(document, problems)
    if "cases" not in document.values and "training" not in document.values:
        problems.append(Problem(line=document.line(()), key="cases", found="no such key", allowed=_CASES))
    if problems or top is None or gate is None or limits is None:
        raise suite_error(document.source, problems)
    return Suite(
        name=top.suite,
        description=" ".join(top.description.split()),
        baseline=top.baseline,
        implementations=tuple(dict.fromkeys(top.implementations)),
        checks=tuple(dict.fromkeys(top.checks)),
        entries=entries,
        timing=None if timing is None or not entries else Timing(**timing.model_dump()),
        grade=top.grade,
        gate=Gate(**gate.model_dump(exclude={"budgets"}), budgets=budgets),
        limits=Limits(seconds_per_call=limits.seconds_per_call, memory_bytes=limits.memory),
        source=document.source,
        text=document.text,
        training=training,
    )


def _budgets(document: Document, gate: object, problems: list[Problem]) -> tuple[Budget, ...]:
    found: list[Budget] = []
    for index, value in enumerate(_as_sequence(gate.get("budgets")) if isinstance(gate, dict) else ()):
        path: KeyPath = ("gate", "budgets", index)
        if not isinstance(value, dict):
            problems.append(
                problem_at(document, path, found_text(value), "a mapping, e.g. {cell: '*', max_slowdown: 1.1}")
            )
        elif (read := read_mapping(BudgetText, value, path, document, problems)) is not None:
            values = read.model_dump()
            values["max_peak_bytes"] = values.pop("max_peak_memory")
            found.append(Budget(**values))
    return tuple(found)


def _section(
    model: type[_TextModel], value: object, name: str, document: Document, problems: list[Problem]
) -> _TextModel | None:
    return read_mapping(model, value, (name,), document, problems) if isinstance(value, dict) else None


def _entries(document: Document, families: Mapping[str, Family], problems: list[Problem]) -> tuple[Entry, ...]:
    cases = document.values.get("cases")
    found = [_entry(index, value, document, families, problems) for index, value in enumerate(_as_sequence(cases))]
    return tuple(entry for entry in found if entry is not None)


def _entry(
    index: int, value: object, document: Document, families: Mapping[str, Family], problems: list[Problem]
) -> Entry | None:
    path: KeyPath = ("cases", index)
    if not isinstance(value, dict):
        problems.append(problem_at(document, path, found_text(value), "a mapping of axes, e.g. {loss: …, batch: …}"))
        return None
    loss = value.get("loss")
    if not isinstance(loss, str) or loss not in families:
        found = "no such key" if "loss" not in value else found_text(loss) + closest(str(loss), families)
        problems.append(problem_at(document, (*path, "loss"), found, f"a loss: {', '.join(families)}"))
        return None
    family, before = families[loss], len(problems)
    read = read_mapping(entry_model(family), value, path, document, problems)
    problems.extend(_shape_problems(family, value, path, document))
    if read is None or len(problems) > before:
        return None
    axes = tuple((name, _axis_values(getattr(read, f"axis_{name}"))) for name in value if name != "loss")
    return Entry(loss=loss, axes=axes, key=key_path(path), line=document.line(path))


def _axis_values(values: list[Any]) -> tuple[AxisValue, ...]:
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def _shape_problems(family: Family, value: Mapping[str, object], path: KeyPath, document: Document) -> list[Problem]:
    required = [axis.name for axis in family.axes if axis.required]
    sizes = [name for name in required if name in ("batch", "features", "classes")]
    if SHAPE not in value:
        missing = [name for name in required if name not in value]
        allowed = f"{' and '.join(sizes)}, or shape in their place"
        return [problem_at(document, path, f"no {' and no '.join(missing)}", allowed)] if missing else []
    return [
        problem_at(document, (*path, name), f"{name} and shape together", f"either shape, or {' and '.join(sizes)}")
        for name in sizes
        if name in value
    ]


def _as_sequence(value: object) -> list[object]:
    return value if isinstance(value, list) else []
