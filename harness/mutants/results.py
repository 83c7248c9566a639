"""What a selftest found: one result for each mutant or control and question put to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.outcome import Outcome
from harness.core.status import FAULTS, Status
from harness.mutants.catalogue import Control, Mutant


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of ``subject`` under ``question``: the name of a check, or of a suite.

    ``faults`` are its outcomes that accuse it, ``asked`` how many verdicts there were that could have done so, and
    ``untested`` why there were none (a check that needs more memory than there is, one that does not exist).
    """

    subject: Mutant | Control
    question: str
    faults: tuple[Outcome, ...]
    asked: int
    untested: str
    seconds: float

    @property
    def caught(self) -> bool:
        """Whether any verdict accuses the subject."""
        return bool(self.faults)

    @property
    def escaped(self) -> bool:
        """Whether a mutant was asked and not caught; one that declares no support for anything asked escapes too."""
        return isinstance(self.subject, Mutant) and not self.faults and not self.untested

    @property
    def accused(self) -> bool:
        """Whether a control was caught."""
        return isinstance(self.subject, Control) and bool(self.faults)


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All results: of each mutant under the checks it names, of mutants under a suite, and of controls.

    ``blind`` says what no regime of the suite under judgement shows, ``sees`` the smallest changes that it does.
    """

    named: tuple[Result, ...]
    suite: tuple[Result, ...]
    controls: tuple[Result, ...]
    suite_name: str
    graded: bool
    seconds: float
    blind: tuple[str, ...] = ()
    sees: tuple[str, ...] = ()

    @property
    def escapes(self) -> tuple[Result, ...]:
        """Results of mutants that were missed: by a check they name, or by the suite when that is graded."""
        return tuple(result for result in (self.suite if self.graded else self.named) if result.escaped)

    @property
    def accusations(self) -> tuple[Result, ...]:
        """Results of controls that were accused."""
        return tuple(result for result in self.controls if result.accused)

    @property
    def untested(self) -> tuple[Result, ...]:
        """Results of what could not be put to the test here."""
        return tuple(r for r in (self.suite if self.graded else self.named) if r.untested)


def result_of(subject: Mutant | Control, question: str, outcomes: Sequence[Outcome], seconds: float) -> Result:
    """The result that ``outcomes`` amount to."""
    faults = tuple(outcome for outcome in outcomes if outcome.status in FAULTS)
    asked = sum(outcome.status in (Status.PASSED, Status.DECLARED) for outcome in outcomes) + len(faults)
    return Result(
        subject=subject, question=question, faults=faults, asked=asked, seconds=round(seconds, 3),
        untested=_untested(outcomes, asked),
    )  # fmt: skip


def _untested(outcomes: Sequence[Outcome], asked: int) -> str:
    """Why nothing could be asked; a cell that has no meaning or that the mutant does not support is no such reason."""
    if asked:
        return ""
    short = [
        o.reason
        for o in outcomes
        if o.status is Status.UNAVAILABLE or (o.status is Status.SKIPPED and "needs " in o.reason)
    ]
    if short:
        return short[0]
    return "" if outcomes else "no cell asks this"


def result_to_dict(result: Result) -> dict[str, Any]:
    """Plain JSON-ready values."""
    first = result.faults[0] if result.faults else None
    return {
        "name": result.subject.name,
        "kind": "mutant" if isinstance(result.subject, Mutant) else "control",
        "group": result.subject.group if isinstance(result.subject, Mutant) else None,
        "reference": result.subject.reference,
        "question": result.question,
        "result": _word(result),
        "verdicts": result.asked,
        "status": first.status.value if first else None,
        "check": first.check if first else None,
        "cell": first.cell if first else None,
        "reason": first.reason if first else result.untested,
        "seconds": result.seconds,
    }


def _word(result: Result) -> str:
    if isinstance(result.subject, Control):
        return "accused" if result.accused else "untested" if result.untested else "cleared"
    return "caught" if result.caught else "escaped" if result.escaped else "untested"
