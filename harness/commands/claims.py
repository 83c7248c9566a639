"""``claims``: put a file of claims to the test and tell each verdict with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Console

from harness.claims.model import Answer, Claim, ClaimFile
from harness.claims.telling import FORMATS, summary
from harness.claims.testing import put_to_the_test
from harness.core.errors import UnknownReferenceError
from harness.core.status import EXIT_AS_EXPECTED, EXIT_FAULT
from harness.hardware.host import usable_cores
from harness.suite.load import find_suite
from harness.suite.problems import closest
from harness.suite.yaml_text import read_document
from harness.worker.process import ProcessWorkers, Workers


def claims(
    file: str, *, names: Sequence[str], form: str, out: Path | None, console: Console, workers: Workers | None = None
) -> int:
    """Test the claims of ``file`` (a path or a bundled name) that match ``names``, all of them if there are none.

    Returns:
        0 when every claim came out as known, 1 when one changed or could not be tested.

    Raises:
        SuiteError: no such file, or it is wrong.
        UnknownReferenceError: a name matches no claim.
    """
    read = load_claims(file)
    chosen = _chosen(read, names)

    def told(answer: Answer) -> None:
        if out is not None:
            mark = "" if answer.as_known else "  (changed)"
            console.print(f"{answer.verdict}: {answer.claim.id}{mark}", markup=False, highlight=False)

    answers = put_to_the_test(chosen, workers or ProcessWorkers(), threads=usable_cores(), told=told)
    page = FORMATS[form](read, answers)
    if out is None:
        console.print(page, markup=False, highlight=False, soft_wrap=True, end="")
    else:
        out.write_text(page, encoding="utf-8")
        console.print(f"{summary(answers)}\nwritten: {out}", markup=False, highlight=False, soft_wrap=True)
    return EXIT_AS_EXPECTED if all(answer.as_known for answer in answers) else EXIT_FAULT


def load_claims(file: str) -> ClaimFile:
    """The claims of the file that ``file`` names, a path or a bundled name."""
    from harness.claims.schema import claims_of

    return claims_of(read_document(find_suite(file)))


def _chosen(read: ClaimFile, names: Sequence[str]) -> tuple[Claim, ...]:
    ids = [claim.id for claim in read.claims]
    for name in names:
        if not any(fnmatchcase(one, name) for one in ids):
            raise UnknownReferenceError(
                f"no claim of {read.path} matches {name!r}{closest(name, ids)}\n  its claims: {', '.join(ids)}"
            )
    return tuple(c for c in read.claims if not names or any(fnmatchcase(c.id, name) for name in names))
