"""A claim, the questions that test it, and what came of them: plain frozen nouns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOLDS = "holds"
FAILS = "does not hold"
PARTLY = "holds under these conditions"
VERDICTS = (HOLDS, FAILS, PARTLY)

#: Verbs whose figures depend on the machine's speed: their evidence differs from run to run.
TIMING_VERBS = frozenset({"faster"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One test of a claim: a verb with its parameters, under which condition it is asked, and the known answer.

    ``when`` is the condition in words; ``known`` whether the claim is known to hold under it.
    """

    verb: str
    parameters: Mapping[str, Any]
    when: str
    known: bool

    @property
    def timed(self) -> bool:
        """Whether the answer is a measured time."""
        return self.verb in TIMING_VERBS


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a tutorial says: a statement, the values it is about (``given``, step by step), and how it is tested.

    ``verdict`` is the known one of :data:`VERDICTS`; ``why`` explains it in plain words; ``source`` names one of the
    file's sources.
    """

    id: str
    statement: str
    source: str
    given: Mapping[str, Mapping[str, Any]]
    questions: tuple[Question, ...]
    verdict: str
    why: str

    @property
    def timed(self) -> bool:
        """Whether any question is answered by a measured time."""
        return any(question.timed for question in self.questions)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimFile:
    """A file of claims: its name, one sentence, its sources (name → description) and the claims in order."""

    name: str
    description: str
    sources: Mapping[str, str]
    claims: tuple[Claim, ...]
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One line of evidence: what was looked at, what was found, what was published or required, and how far off.

    ``agrees`` is None for a figure that is only shown.
    """

    what: str
    found: str
    published: str = ""
    off: str = ""
    agrees: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What came of one question: ``holds`` is None where a time could not be told from noise."""

    question: Question
    holds: bool | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a claim; ``fault`` says why it could not be tested at all, and is empty otherwise."""

    claim: Claim
    findings: tuple[Finding, ...]
    fault: str = ""

    @property
    def verdict(self) -> str:
        """The verdict over all questions; one that noise left open counts as known."""
        if self.fault:
            return "not tested"
        found = {finding.question.known if finding.holds is None else finding.holds for finding in self.findings}
        return PARTLY if len(found) == 2 else HOLDS if found == {True} else FAILS

    @property
    def as_known(self) -> bool:
        """Whether every question was answered as known, or left open by noise."""
        return not self.fault and all(f.holds in (None, f.question.known) for f in self.findings)


def verdict_of(known: list[bool]) -> str:
    """The verdict that questions with these answers give."""
    return PARTLY if len(set(known)) == 2 else HOLDS if all(known) else FAILS
