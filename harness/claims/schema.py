"""The file of claims: pydantic inside, plain nouns out, every problem told at once with its line.

Top level: ``suite``, ``description``, ``sources`` (name → a description in words), ``claims``. A claim has ``id``,
``statement``, ``source``, ``given`` (values made step by step), ``tests``, ``verdict`` and ``why``. A test has one
verb with its parameters, and may have ``when`` (the condition in words) and ``expect`` (holds or fails).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from harness.claims.model import HOLDS, PARTLY, VERDICTS, Claim, ClaimFile, Question, verdict_of
from harness.claims.printed import read_table
from harness.suite.fields import Text
from harness.suite.problems import Problem, closest, found_text, suite_error
from harness.suite.validate import problem_at, read_mapping
from harness.suite.yaml_text import Document, KeyPath

_ID = r"^[a-z0-9][a-z0-9_.]{0,79}$"
_NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,39}$"


def _table(value: str) -> str:
    read_table(value)
    return value


Value = Annotated[str, Field(pattern=_NAME, description="the name of a value under given")]
Figure = Annotated[str, AfterValidator(_table), Field(description='figures as printed, in quotes: "0.2800 0.7624"')]
Step = Annotated[dict[str, Any], Field(min_length=1, description="one step, e.g. {softmax: [x], dim: 1}")]
_Said = Annotated[str, Field(min_length=1, description="text that the message contains")]


class EqualToFigure(Text):
    """``value`` is the published figure (or table), to half a unit of its last digit."""

    value: Value
    published: Figure
    what: str = ""


class PublishedLine(Text):
    """One line of a published derivation."""

    what: Annotated[str, Field(min_length=1, description="what the line is, in words")]
    value: Value
    published: Annotated[str, AfterValidator(_table)] | None = None


class Consistent(Text):
    """Every published line follows from the one before: ``lines`` are compared one by one."""

    lines: Annotated[list[PublishedLine], Field(min_length=1, description="a list of {what, value, published}")]


class SameValue(Text):
    """``first`` and ``second`` are one value, but for the rounding of the sums in them."""

    first: Value
    second: Value


class Different(Text):
    """``first`` and ``second`` differ by more than rounding."""

    first: Value
    second: Value


class Between(Text):
    """Every entry of ``value`` is at least ``low`` and at most ``high``."""

    value: Value
    low: float | None = None
    high: float | None = None
    what: str = ""


class Runs(Text):
    """``call`` answers, rather than raise."""

    call: Step


class Warns(Text):
    """``call`` answers, with a warning whose message contains ``says``."""

    call: Step
    says: _Said


class Identity(Text):
    """Two procedures of (logits, target) agree in value and gradient in every cell of dtypes × regimes."""

    first: str
    second: str
    dtypes: Annotated[list[str], Field(min_length=1, description="a list of dtypes")]
    regimes: Annotated[list[str], Field(min_length=1, description="a list of regimes")]
    batch: Annotated[int, Field(ge=1)] = 32
    classes: Annotated[int, Field(ge=2)] = 100


class CommonInput(Text):
    """Two log-softmax tables, along dim 0 and dim 1, are those of one input; ``drawn`` is compared with it."""

    along_0: Figure
    along_1: Figure
    drawn: Value


class Faster(Text):
    """``first`` takes less time than ``second`` on every shape (N, C), forward and backward."""

    first: str
    second: str
    shapes: Annotated[list[list[int]], Field(min_length=1, description="a list of [N, C]")]
    max_seconds: Annotated[float, Field(gt=0, le=60)] = 3.0


VERBS: Mapping[str, type[Text]] = {
    "equal_to_figure": EqualToFigure,
    "consistent": Consistent,
    "same_value": SameValue,
    "different": Different,
    "between": Between,
    "runs": Runs,
    "warns": Warns,
    "identity": Identity,
    "common_input": CommonInput,
    "faster": Faster,
}
_VERBS = f"one of {', '.join(VERBS)}, with its parameters; and when, expect"


class FileText(Text):
    """The top level."""

    suite: Annotated[str, Field(min_length=1, description="a short name")]
    description: Annotated[str, Field(min_length=1, description="one sentence")]
    sources: Annotated[dict[str, str], Field(min_length=1, description="a mapping of names to descriptions")]
    claims: Annotated[list[Any], Field(min_length=1, description="a list of claims")]


class ClaimText(Text):
    """One claim."""

    id: Annotated[str, Field(pattern=_ID, description="lower-case letters, digits, _ and .")]
    statement: Annotated[str, Field(min_length=1, description="what the tutorial says, in one sentence")]
    source: Annotated[str, Field(min_length=1, description="the name of a source")]
    given: Annotated[dict[str, Step], Field(description="a mapping of names to steps", default_factory=dict)]
    tests: Annotated[list[Any], Field(min_length=1, description="a list of tests")]
    verdict: Annotated[Literal[VERDICTS], Field(description=", ".join(VERDICTS))]  # type: ignore[valid-type]
    why: Annotated[str, Field(min_length=1, description="the verdict explained, in plain words")]


def claims_of(document: Document) -> ClaimFile:
    """The claims that ``document`` holds.

    Raises:
        SuiteError: anything in it is unknown, missing, of a wrong type, or at odds with the rest; all told together.
    """
    problems: list[Problem] = []
    top = read_mapping(FileText, document.values, (), document, problems)
    found = document.values.get("claims")
    sources = document.values.get("sources")
    known = sources if isinstance(sources, dict) else {}
    claims = [
        _claim(index, value, known, document, problems)
        for index, value in enumerate(found if isinstance(found, list) else [])
    ]
    _refuse_repeats([claim.id for claim in claims if claim], document, problems)
    if problems or top is None:
        raise suite_error(document.source, problems)
    return ClaimFile(
        name=top.suite,
        description=" ".join(top.description.split()),
        sources={name: " ".join(text.split()) for name, text in top.sources.items()},
        claims=tuple(claim for claim in claims if claim is not None),
        path=document.source,
    )


def _claim(
    index: int, value: object, sources: Mapping[str, Any], document: Document, problems: list[Problem]
) -> Claim | None:
    path: KeyPath = ("claims", index)
    read = read_mapping(ClaimText, value, path, document, problems)
    if read is None:
        return None
    if read.source not in sources:
        found = found_text(read.source) + closest(read.source, sources)
        problems.append(problem_at(document, (*path, "source"), found, f"a source: {', '.join(sources)}"))
    questions = [
        _question(test, (*path, "tests", place), read, document, problems) for place, test in enumerate(read.tests)
    ]
    known = [question for question in questions if question is not None]
    if len(known) == len(questions) and verdict_of([question.known for question in known]) != read.verdict:
        found = f"{read.verdict!r}, where the tests' expect give {verdict_of([q.known for q in known])!r}"
        problems.append(problem_at(document, (*path, "verdict"), found, "the verdict that the tests give"))
    return Claim(
        id=read.id, statement=" ".join(read.statement.split()), source=read.source, given=read.given,
        questions=tuple(known), verdict=read.verdict, why=" ".join(read.why.split()),
    )  # fmt: skip


def _question(
    test: object, path: KeyPath, claim: ClaimText, document: Document, problems: list[Problem]
) -> Question | None:
    if not isinstance(test, dict):
        problems.append(problem_at(document, path, found_text(test), _VERBS))
        return None
    verbs = [name for name in test if name not in ("when", "expect")]
    if len(verbs) != 1 or verbs[0] not in VERBS:
        found = f"the verbs {', '.join(verbs) or 'none'}{closest(verbs[0], VERBS) if verbs else ''}"
        problems.append(problem_at(document, path, found, _VERBS))
        return None
    verb, expect, when = verbs[0], test.get("expect"), test.get("when", "")
    allowed = "holds or fails" + (" (needed where the verdict has conditions)" if claim.verdict == PARTLY else "")
    if expect not in ("holds", "fails") and (expect is not None or claim.verdict == PARTLY):
        problems.append(problem_at(document, (*path, "expect"), found_text(expect), allowed))
    if not isinstance(when, str):
        problems.append(problem_at(document, (*path, "when"), found_text(when), "a condition in words"))
    read = read_mapping(VERBS[verb], test[verb], (*path, verb), document, problems)
    if read is None:
        return None
    _refuse_unknown_values(read, claim, (*path, verb), document, problems)
    known = expect == "holds" if expect is not None else claim.verdict == HOLDS
    return Question(verb=verb, parameters=read.model_dump(), when=str(when), known=known)


def _refuse_unknown_values(
    read: Text, claim: ClaimText, path: KeyPath, document: Document, problems: list[Problem]
) -> None:
    values = read.model_dump()
    named = [(key, values[key]) for key in ("value", "drawn") if key in values]
    if isinstance(read, SameValue | Different):
        named += [("first", values["first"]), ("second", values["second"])]
    named += [(f"lines[{place}].value", line["value"]) for place, line in enumerate(values.get("lines", ()))]
    for key, name in named:
        if name not in claim.given:
            found = f"{key} {name!r}{closest(str(name), claim.given)}"
            problems.append(problem_at(document, path, found, f"a value under given: {', '.join(claim.given)}"))


def _refuse_repeats(ids: list[str], document: Document, problems: list[Problem]) -> None:
    for index, name in enumerate(ids):
        if name in ids[:index]:
            found = f"the id {name!r} a second time"
            problems.append(problem_at(document, ("claims", index, "id"), found, "each id once"))
